"""The timeline of an activation: one row a step, written when the step ended."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from zelavis.models import Activation, ActivationEvent

#: A message longer than this says no more.
MAX_MESSAGE = 2000


def note(
    activation: Activation | str,
    step: str,
    message: str = "",
    *,
    now: datetime | None = None,
    duration_ms: int | None = None,
    http_status: int | None = None,
    trap: str = "",
    code: str = "",
    attempt: int = 0,
    attempts: int = 0,
) -> None:
    """Write one line. ``attempt`` of ``attempts`` where the step may be tried again."""
    ActivationEvent.objects.create(
        activation_id=activation if isinstance(activation, str) else activation.pk,
        step=step[:30],
        created_at=now or timezone.now(),
        duration_ms=duration_ms,
        http_status=http_status,
        trap=trap[:30],
        code=code[:60],
        message=message[:MAX_MESSAGE],
        attempt=attempt,
        attempts=attempts,
    )
