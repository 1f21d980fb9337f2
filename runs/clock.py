"""One clock for all hosts, in integer milliseconds since the epoch.

On PostgreSQL the time is the database's: sampled once a minute and carried forward by the monotonic clock, so a
host whose wall clock jumps neither wakes a run early nor holds a lease too long. On SQLite it is this machine's.
"""

from __future__ import annotations

import logging
import time

from django.db import Error as DatabaseError
from django.db import connection

logger = logging.getLogger("runs.clock")
_SAMPLE_EVERY_SECONDS = 60.0
#: While the database does not answer, the last sample is carried on for so long before it is asked again.
_ASK_AGAIN_SECONDS = 1.0
#: ``(milliseconds, monotonic seconds)``. One value: a reader never sees half of a new sample.
_sampled: tuple[float, float] | None = None
_ask_at = float("-inf")


def now_ms() -> int:
    """The present.

    Raises:
        django.db.Error: PostgreSQL did not answer the first time this process asked for the time.
    """
    if connection.vendor != "postgresql":
        return time.time_ns() // 1_000_000
    monotonic = time.monotonic()
    sampled = _sampled
    if sampled is None or monotonic > _ask_at:
        sampled = _sample(sampled)
        monotonic = time.monotonic()
    base_ms, at = sampled
    return int(base_ms + (monotonic - at) * 1000)


def _sample(last: tuple[float, float] | None) -> tuple[float, float]:
    global _sampled, _ask_at
    before = time.monotonic()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp()) * 1000")
            value = float(cursor.fetchone()[0])
    except DatabaseError as error:
        if last is None:
            raise
        # Who only wants the time must not fail for it: a workflow's body would take that for its own failure.
        _ask_at = time.monotonic() + _ASK_AGAIN_SECONDS
        logger.info("the database was not asked for the time", extra={"reason": str(error)})
        return last
    after = time.monotonic()
    sampled = (value, (before + after) / 2)
    _sampled, _ask_at = sampled, after + _SAMPLE_EVERY_SECONDS
    return sampled
