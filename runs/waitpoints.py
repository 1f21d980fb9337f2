"""Waitpoints: registered when a run parks, resolved once, matched in the order of their registration.

Every function here runs under the run's lock, in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from runs import jsontext, sql, states
from runs.held import Held
from runs.jsontext import ABSENT
from runs.models import JournalEntry
from runs.protocol import Wait

_COLUMNS = (
    "run_id, key, tenant, environment, kind, match_key, ordinal, meta, timeout_ms, wake_at, state, child_run_id, "
    "created_at, resolved_at, resolved_by"
)


def wake_time(wait: Wait, now: int) -> int | None:
    """When a new waitpoint resolves by itself: the end of a sleep or of a timeout; ``None``: never."""
    if wait.kind == states.DATETIME:
        stamped = wait.meta.get("wakeAt")
        if stamped is not None:
            return int(stamped)
        return now + _duration(wait)
    return None if wait.timeout_ms is None or wait.kind == states.RUN else now + wait.timeout_ms


def stamped_meta(wait: Wait, wake_at: int | None) -> dict[str, Any]:
    """``meta`` as shown: a sleep says when it ends."""
    return {**wait.meta, "wakeAt": wake_at} if wait.kind == states.DATETIME else wait.meta


def register(cursor: Any, held: Held, waits: Sequence[Wait], *, now: int, children: dict[str, str]) -> None:
    """Make the pending waitpoints of a run the given ones; those already pending keep their wake time.

    ``children``: waitpoint → run started for it.
    """
    known, keep = held.pending, {wait.key for wait in waits}
    dropped = [key for key in known if key not in keep]
    if dropped:
        cursor.execute(
            f"UPDATE runs_waitpoint SET state = 'dropped', resolved_at = %s "
            f"WHERE run_id = %s AND state = 'pending' AND key IN ({sql.marks(dropped)})",
            [now, held.id, *dropped],
        )
    pending: dict[str, tuple[int | None, int]] = {}
    rows = []
    for ordinal, wait in enumerate(waits):
        if wait.key in pending:
            continue
        if wait.key in known:
            pending[wait.key] = (known[wait.key][0], ordinal)
            if known[wait.key][1] != ordinal:
                cursor.execute(
                    "UPDATE runs_waitpoint SET ordinal = %s WHERE run_id = %s AND key = %s",
                    [ordinal, held.id, wait.key],
                )
            continue
        wake_at = wake_time(wait, now)
        pending[wait.key] = (wake_at, ordinal)
        rows.append(
            (
                *(held.id, wait.key, held.tenant, held.environment, wait.kind, wait.match_key, ordinal),
                *(jsontext.dumps(stamped_meta(wait, wake_at)), wait.timeout_ms, wake_at, states.PENDING),
                *(children.get(wait.key), now, None, ""),
            )
        )
    # A wait that was dropped earlier may come back under its key.
    sql.insert(
        cursor,
        "runs_waitpoint",
        _COLUMNS,
        rows,
        conflict=(
            "ON CONFLICT (run_id, key) DO UPDATE SET state = 'pending', kind = excluded.kind, resolved_at = NULL, "
            "match_key = excluded.match_key, ordinal = excluded.ordinal, meta = excluded.meta, "
            "timeout_ms = excluded.timeout_ms, wake_at = excluded.wake_at, created_at = excluded.created_at"
        )
        if rows
        else "",
    )
    held.pending = pending


def earliest(held: Held) -> int | None:
    """The run's next alarm: the first wake time of its pending waitpoints, or its deadline."""
    times = [wake_at for wake_at, _ in held.pending.values() if wake_at is not None]
    if held.deadline is not None:
        times.append(held.deadline)
    return min(times) if times else None


def pending_wake(cursor: Any, run_id: str, deadline: int | None) -> int | None:
    """As :func:`earliest`, from the database."""
    cursor.execute("SELECT MIN(wake_at) FROM runs_waitpoint WHERE run_id = %s AND state = 'pending'", [run_id])
    times = [time for time in (cursor.fetchone()[0], deadline) if time is not None]
    return min(times) if times else None


def due(cursor: Any, run_ids: Sequence[str], now: int) -> dict[str, list[tuple[str, str]]]:
    """``(key, kind)`` of the pending waitpoints whose time has come, of each of these runs that has any."""
    cursor.execute(
        f"SELECT run_id, key, kind FROM runs_waitpoint WHERE run_id IN ({sql.marks(run_ids)}) AND state = 'pending' "
        "AND wake_at <= %s ORDER BY wake_at, ordinal",
        [*run_ids, now],
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for run_id, key, kind in cursor.fetchall():
        found.setdefault(run_id, []).append((key, kind))
    return found


def resolve(cursor: Any, run_id: str, resolutions: Sequence[tuple[str, dict[str, Any], str]], *, now: int) -> None:
    """Close waitpoints. Each resolution is ``(key, journal entry, resolved by)``; the caller journals the entry."""
    for key, _, by in resolutions:
        cursor.execute(
            "UPDATE runs_waitpoint SET state = 'resolved', resolved_at = %s, resolved_by = %s "
            "WHERE run_id = %s AND key = %s",
            [now, by[:60], run_id, key],
        )


_CLOSE = (
    "UPDATE runs_waitpoint SET state = 'resolved', resolved_at = %s, resolved_by = %s WHERE run_id = %s AND key = %s",
    "UPDATE runs_run SET status = 'running', next_seq = next_seq + 1 WHERE id = %s",
    "INSERT INTO runs_journal (run_id, seq, kind, key, data, fence, at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
)


@dataclass(frozen=True)
class Closing:
    """Waitpoints of one waiting run that are over: ``(key, journal entry, resolved by)`` each, and their journal."""

    run_id: str
    resolutions: Sequence[tuple[str, dict[str, Any], str]]
    rows: Sequence[tuple[Any, ...]]


def close(cursor: Any, closings: Sequence[Closing], *, now: int) -> None:
    """Resolve waitpoints of waiting runs, journal it, and let the runs go on.

    The usual one alarm takes PostgreSQL one round trip instead of three; many runs take as many as one.
    """
    if connection.vendor == "postgresql" and len(closings) == 1 and len(closings[0].rows) == 1:
        (closing,) = closings
        (key, _, by) = closing.resolutions[0]
        cursor.execute(
            f"WITH closed AS ({_CLOSE[0]}), run AS ({_CLOSE[1]}) {_CLOSE[2]}",
            [now, by[:60], closing.run_id, key, closing.run_id, *closing.rows[0]],
        )
        return
    closed: dict[str, list[str]] = {}
    longer: dict[int, list[str]] = {}
    for closing in closings:
        longer.setdefault(len(closing.rows), []).append(closing.run_id)
        for key, _, by in closing.resolutions:
            closed.setdefault(by[:60], []).extend((closing.run_id, key))
    for by, pairs in closed.items():
        # SQLite finds pairs by reading every waitpoint there is; the runs it finds by their index.
        run_ids = list(dict.fromkeys(pairs[::2]))
        cursor.execute(
            "UPDATE runs_waitpoint SET state = 'resolved', resolved_at = %s, resolved_by = %s "
            f"WHERE run_id IN ({sql.marks(run_ids)}) "
            f"AND (run_id, key) IN (VALUES {','.join(['(%s, %s)'] * (len(pairs) // 2))})",
            [now, by, *run_ids, *pairs],
        )
    write_journal(cursor, [row for closing in closings for row in closing.rows])
    for count, run_ids in longer.items():
        cursor.execute(
            f"UPDATE runs_run SET status = 'running', next_seq = next_seq + %s WHERE id IN ({sql.marks(run_ids)})",
            [count, *run_ids],
        )


def drop_all(cursor: Any, run_id: str, *, now: int) -> None:
    """The run ended: nothing is waited for any more."""
    cursor.execute(
        "UPDATE runs_waitpoint SET state = 'dropped', resolved_at = %s WHERE run_id = %s AND state = 'pending'",
        [now, run_id],
    )


def entry(
    kind: str, *, now: int, source: str, key: str = "", payload: Any = ABSENT, error: Any = None
) -> dict[str, Any]:
    """The journal entry of a resolution. Without payload and error it means: timed out, or slept through."""
    result: dict[str, Any] = {"kind": kind, "resolvedAt": now}
    if payload is not ABSENT:
        result["payload"] = payload
    if error is not None:
        result["error"] = error
    result["source"] = source
    if kind == states.EVENT and source != "replay":
        result["matchedEventId"] = f"evt_live_{key}"
    return result


def journal_rows(
    run_id: str, entries: Iterable[tuple[str, str, Any]], *, first: int, fence: int, now: int
) -> list[tuple[Any, ...]]:
    """Rows of ``runs_journal`` for ``(kind, key, data)``, numbered from ``first``."""
    return [
        (run_id, first + offset, kind, key, jsontext.dumps(data), fence, now)
        for offset, (kind, key, data) in enumerate(entries)
    ]


def write_journal(cursor: Any, rows: Sequence[Sequence[Any]]) -> None:
    """Append to the journal; the unique rows of a kind and key make a second writing an error."""
    sql.insert(cursor, "runs_journal", "run_id, seq, kind, key, data, fence, at", rows)


def resolved_entries(resolutions: Iterable[tuple[str, dict[str, Any], str]]) -> list[tuple[str, str, Any]]:
    """Resolutions as journal entries."""
    return [(JournalEntry.RESOLVED, key, data) for key, data, _ in resolutions]


def _duration(wait: Wait) -> int:
    for value in (wait.timeout_ms, wait.meta.get("durationMs")):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return max(0, int(value))
    return 0
