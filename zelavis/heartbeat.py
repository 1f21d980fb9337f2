"""Signs of life of the parts, kept as rows so that every process can see them."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta

from django.utils import timezone

from zelavis.models import Heartbeat

#: A part not seen for so long is reported as missing.
MISSING_AFTER = timedelta(seconds=60)
#: The parts a working installation has.
EXPECTED = ("beat", "worker")


def record(name: str, *, now: datetime | None = None) -> None:
    """``name`` is at work now, on this host and in this process."""
    Heartbeat.objects.update_or_create(
        name=name,
        defaults={"seen_at": now or timezone.now(), "detail": f"{socket.gethostname()} process {os.getpid()}"[:200]},
    )


def missing(*, now: datetime | None = None) -> list[str]:
    """The expected parts that have not been seen lately."""
    since = (now or timezone.now()) - MISSING_AFTER
    seen = set(Heartbeat.objects.filter(name__in=EXPECTED, seen_at__gte=since).values_list("name", flat=True))
    return [name for name in EXPECTED if name not in seen]
