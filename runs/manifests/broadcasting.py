"""One event for every run that waits for it.

The event's receipt holds how far it came, so a broadcast that is cut off goes on; the inbox of each run knows the
event's id, so no run gets it twice.
"""

from __future__ import annotations

import logging
import time

from django.db import connection, transaction
from django.db.models import F, Min, QuerySet

from runs import clock, inbox, jsontext, states
from runs.errors import RunConflict
from runs.models import EventReceipt, Waitpoint
from zelavis import doorbell
from zelavis.errors import NotFound, ZelavisError

logger = logging.getLogger("runs.broadcasts")
#: Runs looked up at a time.
_BATCH = 1000
#: Time one call takes at most, about; more is left to the next.
SECONDS = 2.0
#: Longer than this without progress, and another worker goes on.
_LEASE_MS = 15_000


def carry_on(receipt_id: str, *, actor: str = "") -> tuple[int, bool]:
    """Go on with a broadcast. Returns how many runs it has resolved altogether, and whether more is to be done."""
    give_up = time.monotonic() + SECONDS
    while True:
        done = _batch(receipt_id, actor, give_up)
        if done or time.monotonic() > give_up:
            break
    if not done:
        EventReceipt.objects.filter(pk=receipt_id, wake_at__isnull=False).update(wake_at=clock.now_ms())
        doorbell.ring("runs.tasks.broadcast")
    return EventReceipt.objects.get(pk=receipt_id).resolved, not done


def work() -> int:
    """Go on with broadcasts that need it; returns how many were taken up. Each that is not done is rung for again."""
    taken = 0
    now = clock.now_ms()
    for receipt in EventReceipt.objects.filter(wake_at__lte=now).order_by("wake_at")[:_BATCH]:
        claimed = EventReceipt.objects.filter(pk=receipt.pk, wake_at=receipt.wake_at).update(wake_at=now + _LEASE_MS)
        if claimed:
            taken += 1
            carry_on(receipt.pk)
    return taken


def seconds_until_next() -> float | None:
    """Seconds until a broadcast needs somebody; ``None``: none does."""
    earliest = EventReceipt.objects.filter(wake_at__isnull=False).aggregate(at=Min("wake_at"))["at"]
    return None if earliest is None else (earliest - clock.now_ms()) / 1000


def _batch(receipt_id: str, actor: str, give_up: float) -> bool:
    """The next runs, at least one; whether there are no more."""
    receipt = EventReceipt.objects.get(pk=receipt_id)
    if receipt.wake_at is None:
        return True
    runs = list(_waiting(receipt)[:_BATCH])
    resolved, visited = 0, 0
    for run_id in runs:
        resolved += _send(receipt, run_id, actor)
        visited += 1
        if time.monotonic() > give_up:
            break
    finished = visited == len(runs) < _BATCH
    changes: dict[str, object] = {"resolved": F("resolved") + resolved}
    if finished:
        changes |= {"wake_at": None, "payload": None}
    else:
        changes |= {"cursor": runs[visited - 1], "wake_at": clock.now_ms() + _LEASE_MS}
    EventReceipt.objects.filter(pk=receipt.pk).update(**changes)
    return finished


def _waiting(receipt: EventReceipt) -> QuerySet[Waitpoint, str]:
    """The runs still to be sent it, in the order of an index: a batch costs the same however many wait."""
    waiting = Waitpoint.objects.filter(
        kind=states.EVENT,
        match_key=receipt.name,
        state=states.PENDING,
        environment=receipt.environment,
        run_id__gt=receipt.cursor,
    )
    if receipt.tenant:
        waiting = waiting.filter(tenant=receipt.tenant)
    return waiting.order_by("run_id").values_list("run_id", flat=True).distinct()


def _send(receipt: EventReceipt, run_id: str, actor: str) -> bool:
    """Resolve one run's wait; ``False`` when it no longer waits or had this event before."""
    try:
        sent = inbox.inject(
            run_id,
            states.EVENT,
            receipt.name,
            payload=jsontext.value_or_absent(receipt.payload),
            dedupe=f"event:{receipt.id}",
            tenant=receipt.tenant,
            actor=actor,
            also_running=True,
        )
    except (NotFound, RunConflict):
        return False
    except ZelavisError as error:
        # It waited for it when we looked and does not now: somebody else resolved the wait, or the run ended.
        logger.info("run not resolved by event", extra={"run": run_id, "event": receipt.event_id, "code": error.code})
        return False
    return sent.disposition == states.MATCHED


def prune(before: int, *, at_most: int = 1000) -> int:
    """Forget receipts that came before a time and are done; how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM runs_event WHERE id IN (SELECT id FROM runs_event WHERE created_at < %s AND wake_at IS NULL "
            "ORDER BY created_at LIMIT %s)",
            [before, at_most],
        )
        return int(cursor.rowcount)
