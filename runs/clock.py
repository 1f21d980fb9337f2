"""One clock for all hosts, in integer milliseconds since the epoch.

On PostgreSQL the time is the database's: sampled once a minute and carried forward by the monotonic clock, so a
host whose wall clock jumps neither wakes a run early nor holds a lease too long. On SQLite it is this machine's.
"""

from __future__ import annotations

import threading
import time

from django.db import connection

_SAMPLE_EVERY_SECONDS = 60.0
_lock = threading.Lock()
_sampled_at = float("-inf")
_base_ms = 0.0


def now_ms() -> int:
    """The present."""
    if connection.vendor != "postgresql":
        return time.time_ns() // 1_000_000
    monotonic = time.monotonic()
    if monotonic - _sampled_at > _SAMPLE_EVERY_SECONDS:
        _sample()
        monotonic = time.monotonic()
    return int(_base_ms + (monotonic - _sampled_at) * 1000)


def _sample() -> None:
    global _sampled_at, _base_ms
    before = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp()) * 1000")
        value = float(cursor.fetchone()[0])
    after = time.monotonic()
    with _lock:
        _base_ms, _sampled_at = value, (before + after) / 2
