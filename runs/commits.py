"""What a driver may write: one transaction for each answer of the tenant, and nothing without the fence.

Each function raises :class:`~runs.errors.LostClaim` when the run is no longer this driver's, and then has written
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from runs import children, clock, endings, jsontext, leases, slots, sql, states, waitpoints
from runs.errors import LostClaim
from runs.held import Held
from runs.jsontext import ABSENT
from runs.models import JournalEntry
from runs.protocol import StepResponse, Wait, apply_updates, public_error

Entry = tuple[str, str, Any]


def step(held: Held, kind: str, key: str, data: Any) -> None:
    """Journal one thing an inline body finished, at once: it is never done again."""
    sql.crash_point(f"before_commit:{kind}")
    now = clock.now_ms()
    row: list[Any] = [held.id, kind, key, jsontext.dumps(data), held.fence, now]
    if connection.vendor == "postgresql":
        with sql.cursor() as cursor:
            cursor.execute(
                "WITH held AS (UPDATE runs_run SET next_seq = next_seq + 1, claims = 0 "
                "WHERE id = %s AND fence = %s AND status = 'running' RETURNING next_seq - 1 AS seq) "
                "INSERT INTO runs_journal (run_id, kind, key, data, fence, at, seq) "
                "SELECT %s, %s, %s, %s, %s, %s, held.seq FROM held RETURNING seq",
                [held.id, held.fence, *row],
            )
            written = cursor.fetchone()
    else:
        with transaction.atomic(), sql.cursor() as cursor:
            cursor.execute(
                "UPDATE runs_run SET next_seq = next_seq + 1, claims = 0 "
                "WHERE id = %s AND fence = %s AND status = 'running' RETURNING next_seq - 1",
                [held.id, held.fence],
            )
            written = cursor.fetchone()
            if written:
                sql.insert(cursor, "runs_journal", "run_id, kind, key, data, fence, at, seq", [[*row, written[0]]])
    if not written:
        leases.let_go(held)
        raise LostClaim
    if written[0] == held.next_seq:
        held.next_seq += 1
    else:
        held.whole = False
    held.claims = 0
    sql.crash_point(f"after_commit:{kind}")


def stream(
    held: Held, stream_id: str, done: dict[str, Any] | None, chunks: Sequence[dict[str, Any]], *, afresh: bool
) -> None:
    """Write pieces of a stream that an inline body sends; with ``done`` they are the last, which is journaled.

    ``afresh``: they are its first, and replace what an earlier driver wrote of it before it died.
    """
    now = clock.now_ms()
    entries = [] if done is None else [(JournalEntry.STREAM, stream_id, done)]
    count = len(chunks) + len(entries)
    sql.crash_point("before_commit:stream")
    with transaction.atomic(), sql.cursor() as cursor:
        cursor.execute(
            "UPDATE runs_run SET next_seq = next_seq + %s, claims = 0 "
            "WHERE id = %s AND fence = %s AND status = 'running' RETURNING next_seq",
            [count, held.id, held.fence],
        )
        row = cursor.fetchone()
        if row is None:
            leases.let_go(held)
            raise LostClaim
        first = row[0] - count
        if afresh:
            cursor.execute("DELETE FROM runs_chunk WHERE run_id = %s AND stream_id = %s", [held.id, stream_id])
        _write_chunks(cursor, held.id, chunks, first)
        waitpoints.write_journal(
            cursor,
            waitpoints.journal_rows(held.id, entries, first=first + len(chunks), fence=held.fence, now=now),
        )
    if first == held.next_seq:
        held.next_seq = row[0]
    held.claims, held.whole = 0, False
    sql.crash_point("after_commit:stream")


def _write_chunks(cursor: Any, run_id: str, chunks: Sequence[dict[str, Any]], first: int) -> None:
    sql.insert(
        cursor,
        "runs_chunk",
        "run_id, ordinal, stream_id, data",
        [(run_id, first + offset, chunk["streamId"], jsontext.dumps(chunk)) for offset, chunk in enumerate(chunks)],
    )


def finish(
    held: Held,
    status: str,
    *,
    output: Any = ABSENT,
    error: dict[str, Any] | None = None,
    response: StepResponse | None = None,
    duration_ms: int = 0,
) -> None:
    """End the run; its parent, its children and the next run under its concurrency key are told with it."""
    now = clock.now_ms()
    error = public_error(error)
    output_text, error_text = jsontext.text_or_none(output), None if error is None else jsontext.dumps(error)
    news = _news(held, response, now, duration_ms=duration_ms)
    sql.crash_point("before_commit:finish")
    if _finish_at_once(held, now, status, news, output_text, error_text):
        _finished(held, now, status, output, error)
        return
    with transaction.atomic(), sql.cursor() as cursor:
        if held.parent_id is not None:
            # Ancestors are locked before descendants, everywhere.
            cursor.execute("SELECT id FROM runs_run WHERE id = %s" + sql.lock(), [held.parent_id])
        slots.lock(cursor, held.concurrency_key)
        _, buffered, _ = _write(cursor, held, now, news, status=status, wake_at=None)
        if buffered:
            endings.expire_buffered(cursor, held.id, now=now)
        if output_text is not None or error_text is not None:
            cursor.execute(
                "UPDATE runs_data SET output = %s, error = %s WHERE run_id = %s", [output_text, error_text, held.id]
            )
        if held.pending:
            for child in children.attached(cursor, held.id):
                endings.cancel(cursor, child, reason="the parent run ended", now=now)
            waitpoints.drop_all(cursor, held.id, now=now)
            held.pending = {}
        endings.ended(cursor, held, status=status, output=output, error=error, now=now)
    _finished(held, now, status, output, error)


def _finished(held: Held, now: int, status: str, output: Any, error: dict[str, Any] | None) -> None:
    held.output, held.error, held.completed_at = output, error, now
    # Last: another thread may read the record from here as soon as it sees that the run has ended.
    held.status = status
    leases.let_go(held)
    sql.crash_point("after_commit:finish")


def _finish_at_once(held: Held, now: int, status: str, news: _News, output: str | None, error: str | None) -> bool:
    """End a run that concerns nobody else in one statement, so in one round trip to PostgreSQL instead of five.

    ``False``: nothing is written; it has a family, a place, something buffered, is paused, or no longer this driver's.
    """
    alone = held.parent_id is None and held.concurrency_key is None and not held.pending and not news.chunks
    if not alone or not news.entries or connection.vendor != "postgresql" or connection.in_atomic_block:
        return False
    count = len(news.entries)
    places = ", ".join(["(CAST(%s AS integer), CAST(%s AS text), CAST(%s AS text), CAST(%s AS text))"] * count)
    metadata = None if news.metadata is held.metadata else jsontext.dumps(news.metadata)
    with sql.cursor() as cursor:
        cursor.execute(
            "WITH held AS (UPDATE runs_run SET status = %s, wake_at = NULL, lease_owner = '', claims = 0, "
            "next_seq = next_seq + %s, metadata_cursor = %s, compute_ms = %s, attempts = %s, completed_at = %s "
            "WHERE id = %s AND fence = %s AND status = 'running' AND buffered = 0 AND NOT paused "
            "RETURNING id, next_seq), "
            "data AS (UPDATE runs_data SET output = %s, error = %s, metadata_state = COALESCE(%s, metadata_state) "
            "FROM held WHERE run_id = held.id) "
            "INSERT INTO runs_journal (run_id, seq, kind, key, data, fence, at) "
            "SELECT held.id, held.next_seq - %s + news.place, news.kind, news.key, news.data, %s, %s "
            f"FROM held, (VALUES {places}) AS news (place, kind, key, data) RETURNING seq",
            [
                *(status, count, news.metadata_cursor, held.compute_ms, held.attempts, now, held.id, held.fence),
                *(output, error, metadata, count, held.fence, now),
                *(
                    value
                    for place, (kind, key, data) in enumerate(news.entries)
                    for value in (place, kind, key, jsontext.dumps(data))
                ),
            ],
        )
        written = cursor.fetchall()
    if not written:
        return False
    last = max(seq for (seq,) in written)
    held.whole = held.whole and last - count + 1 == held.next_seq
    held.next_seq = last + 1
    held.metadata, held.metadata_cursor, held.claims = news.metadata, news.metadata_cursor, 0
    return True


def park(held: Held, waits: Sequence[Wait], *, response: StepResponse, duration_ms: int) -> list[str]:
    """Register what the body waits for and let the run go, or keep it when one of the waits is over already.

    Returns the child runs started for it. Afterwards ``held.status`` is ``waiting``, or ``running`` to go on.
    """
    now = clock.now_ms()
    news = _news(held, response, now, duration_ms=duration_ms)
    sql.crash_point("before_commit:park")
    with transaction.atomic(), sql.cursor() as cursor:
        seen = held.next_seq
        count, buffered, paused = _write(cursor, held, now, news, status=states.WAITING, wake_at=None)
        others = held.next_seq - count > seen
        if others:
            held.catch_up(cursor, seen)
        open_waits = [wait for wait in waits if wait.key not in held.resolved]
        started, resolutions = children.start(cursor, held, open_waits, now=now)
        waitpoints.register(cursor, held, open_waits, now=now, children=started)
        if buffered:
            resolutions += _from_inbox(cursor, held, now)
        for key, _, _ in resolutions:
            held.pending.pop(key, None)
        if resolutions:
            waitpoints.resolve(cursor, held.id, resolutions, now=now)
            _append(cursor, held, waitpoints.resolved_entries(resolutions), now)
            held.resolved.update({key: entry for key, entry, _ in resolutions})
        goes_on = bool(resolutions) or len(open_waits) < len(waits)
        held.wake_at = waitpoints.earliest(held)
        if goes_on and not paused:
            held.status, held.wake_at = states.RUNNING, now + leases.lease_ms()
            held.invocations += 1
            cursor.execute(
                "UPDATE runs_run SET status = 'running', wake_at = %s, lease_owner = %s, invocations = %s "
                "WHERE id = %s",
                [held.wake_at, leases.owner(), held.invocations, held.id],
            )
        elif goes_on:
            held.status = states.RUNNING
            cursor.execute("UPDATE runs_run SET status = 'running' WHERE id = %s", [held.id])
        else:
            held.status = states.WAITING
            if held.wake_at is not None and not paused:
                cursor.execute("UPDATE runs_run SET wake_at = %s WHERE id = %s", [held.wake_at, held.id])
    if not (goes_on and not paused):
        leases.let_go(held)
    held.paused = paused
    sql.crash_point("after_commit:park")
    return list(started.values())


def retry(held: Held, *, at: int, reason: dict[str, Any], duration_ms: int) -> None:
    """Let the run go until ``at``, because its tenant could not be asked."""
    now = clock.now_ms()
    held.attempts += 1
    news = _news(held, None, now, duration_ms=duration_ms)
    news.entries.append((JournalEntry.RETRY, str(held.attempts), {**reason, "retryAt": at}))
    with transaction.atomic(), sql.cursor() as cursor:
        _write(cursor, held, now, news, status=states.RUNNING, wake_at=at)
    held.wake_at = at
    leases.let_go(held)
    sql.crash_point("after_commit:retry")


def give_back(held: Held) -> None:
    """Let the run go to whoever is free: this driver's time is over."""
    with transaction.atomic(), sql.cursor() as cursor:
        cursor.execute(
            "UPDATE runs_run SET wake_at = CASE WHEN paused THEN NULL ELSE %s END, lease_owner = '', claims = 0, "
            "invocations = invocations - 1 WHERE id = %s AND fence = %s AND status = 'running'",
            [clock.now_ms(), held.id, held.fence],
        )
    leases.let_go(held)


@dataclass(slots=True)
class _News:
    """What a commit adds to the run, made once from the tenant's answer."""

    entries: list[Entry]
    chunks: list[dict[str, Any]]
    metadata: dict[str, Any]
    metadata_cursor: int


def _news(held: Held, response: StepResponse | None, now: int, *, duration_ms: int) -> _News:
    """What the answer has that the run has not. An entry once journaled is never replaced."""
    held.compute_ms += duration_ms
    news = _News([], [], held.metadata, held.metadata_cursor)
    if response is None:
        return news
    report = {"status": response.status, "durationMs": duration_ms, "attempt": held.attempts + 1}
    news.entries += _entries(held, response, now)
    news.entries.append((JournalEntry.INVOCATION, str(held.invocations), report))
    news.chunks = response.chunks
    if len(response.metadata_updates) > held.metadata_cursor:
        news.metadata = apply_updates(held.metadata, response.metadata_updates[held.metadata_cursor :])
    news.metadata_cursor = len(response.metadata_updates)
    held.attempts = 0
    return news


def _write(
    cursor: Any, held: Held, now: int, news: _News, *, status: str, wake_at: int | None
) -> tuple[int, int, bool]:
    """The fenced write that every commit starts with. Returns (rows numbered, buffered injections, paused)."""
    rows, chunks = news.entries, news.chunks
    terminal = states.is_terminal(status)
    count = len(rows) + len(chunks)
    cursor.execute(
        "UPDATE runs_run SET status = %s, wake_at = CASE WHEN paused THEN NULL ELSE CAST(%s AS bigint) END, "
        "lease_owner = '', next_seq = next_seq + %s, metadata_cursor = %s, compute_ms = %s, attempts = %s, claims = 0, "
        "completed_at = %s WHERE id = %s AND fence = %s AND status = 'running' RETURNING next_seq, buffered, paused",
        [
            *(status, wake_at, count, news.metadata_cursor, held.compute_ms, held.attempts),
            *(now if terminal else None, held.id, held.fence),
        ],
    )
    row = cursor.fetchone()
    if row is None:
        leases.let_go(held)
        raise LostClaim
    after, buffered, paused = row
    first = after - count
    waitpoints.write_journal(cursor, waitpoints.journal_rows(held.id, rows, first=first, fence=held.fence, now=now))
    _write_chunks(cursor, held.id, chunks, first + len(rows))
    if news.metadata is not held.metadata:
        cursor.execute(
            "UPDATE runs_data SET metadata_state = %s WHERE run_id = %s", [jsontext.dumps(news.metadata), held.id]
        )
    held.whole = held.whole and not chunks and first == held.next_seq and not paused
    held.next_seq, held.claims = after, 0
    held.metadata, held.metadata_cursor = news.metadata, news.metadata_cursor
    return count, buffered, bool(paused)


def _entries(held: Held, response: StepResponse, now: int) -> list[Entry]:
    rows: list[Entry] = []
    for known, given, kind in (
        (held.steps, response.steps, JournalEntry.STEP),
        (held.streams, response.streams_completed, JournalEntry.STREAM),
        (held.compensations, response.compensations_run, JournalEntry.COMPENSATION),
    ):
        if given is known:
            continue
        for key, data in given.items():
            if key not in known:
                rows.append((kind, key, data))
                known[key] = data
    for report in response.compensations:
        key = str(report.get("stepId", ""))
        if key not in held.compensations:
            data = {"status": report.get("status"), "finishedAt": now} | {
                name: report[name] for name in ("error", "durationMs") if name in report
            }
            rows.append((JournalEntry.COMPENSATION, key, data))
            held.compensations[key] = data
    return rows


def _append(cursor: Any, held: Held, entries: Sequence[Entry], now: int) -> None:
    cursor.execute(
        "UPDATE runs_run SET next_seq = next_seq + %s WHERE id = %s RETURNING next_seq", [len(entries), held.id]
    )
    held.next_seq = cursor.fetchone()[0]
    waitpoints.write_journal(
        cursor,
        waitpoints.journal_rows(held.id, entries, first=held.next_seq - len(entries), fence=held.fence, now=now),
    )


def _from_inbox(cursor: Any, held: Held, now: int) -> list[tuple[str, dict[str, Any], str]]:
    """Match what was sent before the wait was there, oldest first."""
    cursor.execute(
        "SELECT id, kind, key, payload FROM runs_inbox WHERE run_id = %s AND disposition = 'buffered' ORDER BY id",
        [held.id],
    )
    resolutions, taken = [], set()
    for receipt, kind, key, payload in cursor.fetchall():
        waitpoint = next(
            (name for name in held.pending if name not in taken and (kind, key) == _match_of(cursor, held.id, name)),
            None,
        )
        if waitpoint is None:
            continue
        taken.add(waitpoint)
        entry = waitpoints.entry(kind, now=now, source="inbox", key=key, payload=jsontext.value_or_absent(payload))
        resolutions.append((waitpoint, entry, f"inbox:{receipt}"))
        cursor.execute(
            "UPDATE runs_inbox SET disposition = 'matched', waitpoint = %s, settled_at = %s WHERE id = %s",
            [waitpoint, now, receipt],
        )
    if resolutions:
        cursor.execute("UPDATE runs_run SET buffered = buffered - %s WHERE id = %s", [len(resolutions), held.id])
    return resolutions


def _match_of(cursor: Any, run_id: str, key: str) -> tuple[str, str]:
    cursor.execute("SELECT kind, match_key FROM runs_waitpoint WHERE run_id = %s AND key = %s", [run_id, key])
    kind, match_key = cursor.fetchone()
    return kind, match_key
