"""Drive one attempt: deploy, activate, record. Every step is idempotent, every record is fenced."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

from sandbox.errors import SandboxError
from zelavis import adapters, querysets
from zelavis.activation import orders, records, rehearsal
from zelavis.activation.timeline import note
from zelavis.adapters.base import Adapter, Answer, Order
from zelavis.adapters.dispatch import standard_request
from zelavis.errors import ZelavisError
from zelavis.models import Activation, Deployment

logger = logging.getLogger("zelavis.activation")
#: Times an attempt is taken up before it counts as one that kills whoever works on it.
CLAIMS = 5

Clock = Callable[[], datetime]


def claim(activation_id: str, *, now: datetime) -> Activation | None:
    """Take up an attempt that is due; ``None`` when somebody else has it or nothing is to be done."""
    seen = Activation.objects.filter(pk=activation_id, finished_at=None).first()
    if seen is None:
        return None
    polling = seen.state in (Activation.State.PENDING, Activation.State.ROLLING)
    taken = querysets.claim(
        Activation.objects.filter(fence=seen.fence),
        activation_id,
        due=now,
        fence=seen.fence + 1,
        # Polls have a count of their own: only attempts that nobody finished are counted here.
        claims=seen.claims + (0 if polling else 1),
        wake_at=now + records.LEASE,
    )
    if not taken:
        return None
    if not polling:
        note(seen, "resumed", "Whoever worked on it is gone.", now=now, attempt=seen.claims + 1, attempts=CLAIMS)
    return _read(activation_id)


def go(activation: Activation, *, clock: Clock = timezone.now) -> Activation:
    """Drive a taken-up attempt until it is over or has to wait; the row as it then is.

    A lease lost to another process ends this one's work quietly: the other one goes on.
    """
    attempt = _read(activation.pk)
    fence = activation.fence
    try:
        if attempt.claims > CLAIMS:
            answer = Answer(status="failed", code="abandoned", message=f"Taken up {CLAIMS} times and never finished.")
            records.failed(attempt, fence, answer, now=clock(), duration_ms=None)
        else:
            _drive(attempt, fence, clock)
    except records.LostLease:
        logger.info("activation is in other hands", extra={"activation": attempt.pk})
    return _read(attempt.pk)


def _drive(attempt: Activation, fence: int, clock: Clock) -> None:
    started = time.monotonic()
    if attempt.state == Activation.State.ROLLING:
        records.followed(attempt, fence, now=clock())
        return
    try:
        adapter = adapters.get(attempt.adapter)
        order = orders.build(attempt)
        if not attempt.request:
            records.held(attempt, fence, request=json.dumps(standard_request(order), ensure_ascii=False))
        if _has_to_deploy(attempt):
            records.step(attempt, fence, Activation.State.DEPLOYING, now=clock())
            adapter.deploy(order)
            records.deployed(attempt, fence, now=clock(), duration_ms=_since(started))
        elif attempt.state in (Activation.State.REQUESTED, Activation.State.DEPLOYING):
            records.step(attempt, fence, Activation.State.ACTIVATING, now=clock())
        refusal = _rehearse(attempt, fence, clock)
    except records.LostLease:
        raise
    except (ZelavisError, SandboxError) as error:
        answer = Answer(status="failed", code=error.code, message=error.message)
        records.failed(attempt, fence, answer, now=clock(), duration_ms=_since(started))
        return
    except Exception as error:
        # Whatever an adapter's platform throws must end as a failed attempt that restores, not as one left hanging.
        logger.exception("deployment failed unexpectedly", extra={"activation": attempt.pk})
        answer = Answer(
            status="failed", code="internal_error", message=f"{type(error).__name__}; see the server's log."
        )
        records.failed(attempt, fence, answer, now=clock(), duration_ms=_since(started))
        return
    if refusal is not None:
        records.failed(attempt, fence, refusal, now=clock(), duration_ms=_since(started))
        return
    _ask(attempt, fence, adapter, order, clock)


def _rehearse(attempt: Activation, fence: int, clock: Clock) -> Answer | None:
    """Run recorded calls with the new version first, where that was asked for; why it may not serve, or nothing.

    Not once more after a crash: what it said stands in the attempt's row.
    """
    if not attempt.shadow_tapes or attempt.deployment is None:
        return None
    if not attempt.shadow:
        started = time.monotonic()
        verdict = rehearsal.run(
            attempt.before,
            attempt.deployment,
            wanted=attempt.shadow_tapes,
            alive=lambda: records.step(attempt, fence, attempt.state, now=clock()),
        )
        records.rehearsed(attempt, fence, verdict, now=clock(), duration_ms=_since(started))
    if attempt.shadow == "pass":
        return None
    told = (
        f"{attempt.shadow_different} of {attempt.shadow_total} recorded calls end differently with this version."
        if attempt.shadow == "fail"
        else f"Only {attempt.shadow_total} recorded calls of the present version could be run again; "
        f"{attempt.shadow_tapes} were asked for."
    )
    return Answer(status="failed", code=f"rehearsal_{attempt.shadow}", message=told)


def _ask(attempt: Activation, fence: int, adapter: Adapter, order: Order, clock: Clock) -> None:
    started = time.monotonic()
    try:
        answer = adapter.activate(order)
    except (ZelavisError, SandboxError) as error:
        answer = Answer(status="failed", code=error.code, message=error.message)
    except Exception as error:
        # As above: an attempt never stays without an end.
        logger.exception("activation failed unexpectedly", extra={"activation": attempt.pk})
        answer = Answer(
            status="failed", code="internal_error", message=f"{type(error).__name__}; see the server's log."
        )
    record = {"active": records.succeeded, "pending": records.pending, "failed": records.failed}[answer.status]
    record(attempt, fence, answer, now=clock(), duration_ms=_since(started))


def _has_to_deploy(attempt: Activation) -> bool:
    return (
        attempt.action in (Activation.Action.INSTALL, Activation.Action.UPDATE)
        and attempt.deployment is not None
        and attempt.deployment.state != Deployment.State.DEPLOYED
    )


def _read(activation_id: str) -> Activation:
    return Activation.objects.select_related(
        "entry", "entry__worker", "deployment__worker", "deployment__entry", "before__entry"
    ).get(pk=activation_id)


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
