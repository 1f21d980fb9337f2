"""When the next run has to be looked at, and looking at those that are due.

One column, ``wake_at``, stands for every reason: ready, an alarm, a retry, the end of a lease. So one index answers
the scheduler, and one claim delivers alarms, retries, lost doorbells and runs whose driver died.
"""

from __future__ import annotations

import logging
import threading
import time

from django.db import Error as DatabaseError
from django.db import connection

from runs import batches, clock, engine, policy
from zelavis import doorbell

logger = logging.getLogger("runs.alarms")


def seconds_until_next(*, now: int | None = None) -> float | None:
    """Seconds until the earliest wake time; 0 or less: overdue; ``None``: nothing waits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT MIN(wake_at) FROM runs_run WHERE wake_at IS NOT NULL AND NOT paused")
        earliest = cursor.fetchone()[0]
    return None if earliest is None else (earliest - (clock.now_ms() if now is None else now)) / 1000


#: How near the next alarm must be for a worker to stay for it. Beat, having rung, does not ring again for as long.
LINGER_SECONDS = 0.5
_lingering = threading.Lock()
#: A process at work looks this often whether more is due than it gets done, and asks for help.
_LOOK_SECONDS = 0.02
#: A bell for help that nobody answers is not rung again for so long: everybody is busy.
_UNANSWERED_SECONDS = 0.25
_looking = threading.Lock()
_look_at = 0.0


def work(*, seconds: float | None = None, linger: float = 0.0) -> int:
    """Claim and drive what is due, the most urgent first, for about ``seconds``. Returns how many runs were driven.

    While more is due it asks other workers to help, and at the end of its time to go on. One thread of a process stays
    for alarms that are at most ``linger`` seconds away: in a stream of them a bell for each would come too late.
    """
    give_up = time.monotonic() + (policy.current().slice_seconds if seconds is None else seconds)
    driven = 0
    _look_soon()
    batch = batches.Batch()
    try:
        while True:
            held = batch.next()
            if held is None:
                if _stay(linger, give_up):
                    continue
                return driven
            driven += 1
            if _may_look(first=driven == 1):
                _look()
            began = time.monotonic()
            engine.drive(held)
            ended = time.monotonic()
            batch.driven(ended - began)
            if ended > give_up and batch.empty:
                doorbell.ring("runs.tasks.work")
                return driven
    finally:
        batch.close()


def _look_soon(after: float = _LOOK_SECONDS) -> None:
    global _look_at
    _look_at = time.monotonic() + after


def _may_look(*, first: bool) -> bool:
    """Whether this thread is to look for more that is due: at its first run, and the process every now and then."""
    if first:
        return True
    with _looking:
        if time.monotonic() < _look_at:
            return False
        _look_soon()
        return True


def _look() -> None:
    """Ask another worker to come when more is due. Nothing may be raised here: a run is claimed and not yet driven."""
    try:
        more = overdue() > 0
    except DatabaseError as error:
        logger.info("not looked whether more is due", extra={"reason": str(error)})
        return
    if more:
        doorbell.ring("runs.tasks.work")
        _look_soon(after=_UNANSWERED_SECONDS)


def _stay(linger: float, give_up: float) -> bool:
    """Wait for the next alarm when it is near enough and no other thread does; whether to look again."""
    if not linger or not _lingering.acquire(blocking=False):
        return False
    try:
        left = seconds_until_next()
        if left is None or left > linger:
            return False
        if time.monotonic() + left > give_up:
            doorbell.ring("runs.tasks.work")
            return False
        # Overdue and not claimed: somebody else has just locked it.
        time.sleep(max(left, 0.005))
        return True
    finally:
        _lingering.release()


def overdue(*, now: int | None = None, at_most: int = 1) -> int:
    """How many runs are due and not taken, counted up to ``at_most``."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*) FROM (SELECT 1 FROM runs_run WHERE wake_at <= %s AND NOT paused LIMIT %s) AS due",
            [clock.now_ms() if now is None else now, at_most],
        )
        return int(cursor.fetchone()[0])
