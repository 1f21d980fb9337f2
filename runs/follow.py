"""Following runs as they go: server-sent events, resumable by the number of the last one seen.

Journal rows and stream chunks share one numbering, so ``Last-Event-ID`` alone says where to go on. The reader looks
into the database a few times a second; nothing has to be running for a reader to miss nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from django.db import close_old_connections, connection

from runs import jsontext, queries, records, states
from runs.models import Run
from zelavis.errors import TooManyRequests

_LOOK_SECONDS = 0.25
_PING_SECONDS = 15.0
#: Rows of the journal, and pieces of streams, read at once.
_BATCH = 1000
#: A stream ends after so long; the client reconnects with its last id.
_LONGEST_SECONDS = 300.0
#: Readers at once in one process: each holds a thread of the web server.
MAX_READERS = 6
_readers = threading.BoundedSemaphore(MAX_READERS)


def _event(name: str, data: Any, *, number: str = "") -> str:
    prefix = f"id: {number}\n" if number else ""
    return f"{prefix}event: {name}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


class Reader:
    """The events of one reader. It takes a place, and gives it back when it ends or is closed, read or not.

    A generator would not: one that is closed before its first step never comes to its ``finally``.

    Raises:
        TooManyRequests: all places are taken.
    """

    def __init__(self, events: Iterator[str]) -> None:
        if not _readers.acquire(blocking=False):
            raise TooManyRequests(f"{MAX_READERS} streams are open; try again soon.", retryAfter=5)
        self._events, self._open = events, True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            return next(self._events)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the place back, once."""
        if self._open:
            self._open = False
            _readers.release()
            if not connection.in_atomic_block:
                close_old_connections()


def one(run_id: str, *, after: int = 0, seconds: float = _LONGEST_SECONDS) -> Reader:
    """Events of one run: ``hello`` with the record, ``journal``, ``stream.chunk``, ``status``, at the end ``end``.

    Raises:
        TooManyRequests: all places for readers are taken.
    """
    return Reader(_paced(_one(run_id, after), seconds))


def _one(run_id: str, after: int) -> Iterator[str | None]:
    yield "retry: 3000\n\n"
    yield _event("hello", {"run": records.load(run_id)})
    seen, status = after, ""
    while True:
        row = Run.objects.filter(pk=run_id).values_list("status", "next_seq").first()
        if row is None:
            yield _event("end", {"runId": run_id, "status": "removed"})
            return
        while row[1] - 1 > seen:
            news = _news(run_id, seen, row[1])
            for number, text in news:
                seen = number
                yield text
            if not news:
                # The last numbers are those of pieces that were replaced.
                break
        if row[0] != status:
            status = row[0]
            yield _event("status", {"runId": run_id, "status": status}, number=str(seen))
        if status in states.TERMINAL:
            yield _event("end", {"runId": run_id, "status": status}, number=str(seen))
            return
        yield None


def _news(run_id: str, after: int, before: int) -> list[tuple[int, str]]:
    """The next rows with numbers between these two, in their order.

    ``before``: all that is numbered lower was committed when we looked, so no row comes in behind one that was sent.
    """
    entries = [
        (entry["seq"], _event("journal", entry, number=str(entry["seq"])))
        for entry in queries.journal(run_id, after=after, limit=_BATCH)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ordinal, data FROM runs_chunk WHERE run_id = %s AND ordinal > %s ORDER BY ordinal LIMIT %s",
            [run_id, after, _BATCH],
        )
        chunks = [
            (ordinal, _event("stream.chunk", {"runId": run_id, "chunk": jsontext.loads(data)}, number=str(ordinal)))
            for ordinal, data in cursor.fetchall()
        ]
    # Of the one that has more to come, nothing of the other is sent that lies behind it.
    ends = [rows[-1][0] for rows in (entries, chunks) if len(rows) == _BATCH]
    last = min([before - 1, *ends])
    return sorted(row for row in entries + chunks if row[0] <= last)


def every(*, tenant: str = "", seconds: float = _LONGEST_SECONDS) -> Reader:
    """Runs as they come and change: ``snapshot``, then ``added`` and ``updated`` for the newest two hundred.

    Raises:
        TooManyRequests: all places for readers are taken.
    """
    return Reader(_paced(_every(tenant), seconds))


def _every(tenant: str) -> Iterator[str | None]:
    filters = queries.Filters(tenant=tenant)
    yield "retry: 3000\n\n"
    known = {run.id: _look(run) for run in queries.page(filters, limit=queries.MAX_LIMIT)[0]}
    yield _event("snapshot", {"kind": "snapshot", "runs": [look for _, look in known.values()]})
    while True:
        yield None
        for run in reversed(queries.page(filters, limit=queries.MAX_LIMIT)[0]):
            mark, look = _look(run)
            before = known.get(run.id)
            known[run.id] = (mark, look)
            if before is None:
                yield _event("added", {"kind": "added", "run": look})
            elif before[0] != mark:
                yield _event("updated", {"kind": "updated", "run": look})
        while len(known) > 2 * queries.MAX_LIMIT:
            known.pop(next(iter(known)))


def _look(run: Run) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (run.status, run.invocations, run.paused, run.next_seq), queries.summary(run)


def _paced(events: Iterator[str | None], seconds: float) -> Iterator[str]:
    """Pass events on; where there is none, wait a little, and say now and then that the line is alive."""
    ends_at, told_at = time.monotonic() + seconds, time.monotonic()
    for event in events:
        if event is not None:
            told_at = time.monotonic()
            yield event
            continue
        if time.monotonic() > ends_at:
            return
        if time.monotonic() - told_at > _PING_SECONDS:
            told_at = time.monotonic()
            yield ": ping\n\n"
        time.sleep(_LOOK_SECONDS)
