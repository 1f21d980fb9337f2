"""Ledger rows in batches, for operators who would rather lose a second of records than wait for each.

A row waits at most a second in its process and is then written with the others in one statement. A process that is
killed loses what waits; one that ends in order writes it. The effects of calls do not wait and are never lost.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time

from django.db import connection

from sandbox import rows

logger = logging.getLogger("sandbox.ledger")

#: Seconds that a row waits at most, and rows that are written at once.
WAIT = 1.0
MOST_WAITING = 500

_waiting: list[rows.Row] = []
_lock = threading.Lock()
_writing = threading.Lock()
_thread: threading.Thread | None = None


def add(row: rows.Row) -> None:
    """Let a row wait for the next batch."""
    global _thread
    with _lock:
        if _thread is None:
            # Kept when it runs: where no thread can be had, this row is not taken, and the next one tries again.
            thread = threading.Thread(target=_run, daemon=True, name="sandbox-ledger")
            thread.start()
            _thread = thread
        _waiting.append(row)
        full = len(_waiting) >= MOST_WAITING
    if full:
        flush()


def flush() -> int:
    """Write what waits now; gives how many rows. Never raises."""
    with _writing:
        with _lock:
            batch = list(_waiting)
            _waiting.clear()
        if not batch:
            return 0
        try:
            rows.insert(batch)
        except Exception:
            # The calls are over; only their records are lost, and the log says how many.
            logger.exception("ledger rows not written", extra={"rows": len(batch)})
    return len(batch)


def _run() -> None:
    while True:
        time.sleep(WAIT)
        flush()
        connection.close()


def _after_fork() -> None:
    global _lock, _writing, _thread
    _lock, _writing, _thread = threading.Lock(), threading.Lock(), None
    # What waited in the parent is the parent's to write.
    _waiting.clear()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(flush)
