"""What an operator does to runs: pause, go on, wake now, many at once; and what old runs leave behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from runs import clock, lifecycle, policy, queries, resume, slots, sql, states, waitpoints
from runs.held import COLUMNS, Held, rows_of
from runs.manifests import broadcasting
from runs.models import JournalEntry
from zelavis import doorbell
from zelavis.errors import Conflict, InvalidBody, NotFound, ZelavisError

BULK_LIMIT = 1000


def pause(run_id: str, *, tenant: str = "", actor: str = "", now: int | None = None) -> None:
    """Stop a run from being driven on; a driver in flight finishes its invocation. Time goes on: alarms are kept.

    Raises:
        NotFound: no such run for this tenant.
        Conflict: it has ended.
    """
    _set(run_id, tenant, actor, clock.now_ms() if now is None else now, paused=True)


def unpause(run_id: str, *, tenant: str = "", actor: str = "", now: int | None = None) -> None:
    """Let a paused run go on; what came due meanwhile happens at once.

    Raises:
        NotFound, Conflict: as for :func:`pause`.
    """
    _set(run_id, tenant, actor, clock.now_ms() if now is None else now, paused=False)


def wake(run_id: str, *, tenant: str = "", actor: str = "", now: int | None = None) -> None:
    """End the run's earliest sleep, or its wait for a retry, now.

    Raises:
        NotFound: no such run for this tenant.
        Conflict: it neither sleeps nor waits for a retry.
    """
    moment = clock.now_ms() if now is None else now
    with transaction.atomic(), connection.cursor() as cursor:
        _lock_places(cursor, run_id)
        run = _lock(cursor, run_id, tenant)
        wake_at: int | None = moment
        blocked = run.concurrency_key is not None and run_id not in slots.holders(cursor, run.concurrency_key)
        woken = run.status == states.RUNNING and not run.lease_owner and run.wake_at is not None and not blocked
        if run.status == states.WAITING:
            cursor.execute(
                "SELECT key FROM runs_waitpoint WHERE run_id = %s AND state = 'pending' AND kind = 'DATETIME' "
                "ORDER BY wake_at, ordinal LIMIT 1",
                [run_id],
            )
            row = cursor.fetchone()
            woken = row is not None
            if row is not None:
                cursor.execute(
                    "UPDATE runs_waitpoint SET wake_at = %s WHERE run_id = %s AND key = %s", [moment, run_id, row[0]]
                )
            if blocked:
                # Its delay is over, and it still waits for a place.
                wake_at = run.deadline
        if not woken:
            raise Conflict(f"run {run_id} does not sleep")
        cursor.execute(
            "UPDATE runs_run SET wake_at = CASE WHEN paused THEN NULL ELSE CAST(%s AS bigint) END, "
            "next_seq = next_seq + 1 WHERE id = %s",
            [wake_at, run_id],
        )
        _note(cursor, run, "woken", actor, moment)
        doorbell.ring("runs.tasks.drive", run_id)


@dataclass
class Bulk:
    """What a verb did to many runs."""

    done: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """As JSON."""
        refused = [{"runId": run_id, "error": code} for run_id, code in self.refused.items()]
        return {"done": self.done, "refused": refused}


def bulk(
    verb: str,
    *,
    filters: queries.Filters,
    run_ids: Sequence[str] = (),
    reason: str = "",
    limit: int = BULK_LIMIT,
    actor: str = "",
) -> Bulk:
    """Cancel, resume, pause or unpause the named runs, or those the filters find, up to ``limit``.

    Raises:
        InvalidBody: an unknown verb.
    """

    def resumed(run_id: str) -> None:
        resume.resume(run_id, {"tags": ["bulk"]}, tenant=filters.tenant)

    verbs: dict[str, Callable[[str], None]] = {
        "cancel": lambda run_id: lifecycle.cancel(run_id, reason=reason, tenant=filters.tenant, actor=actor),
        "pause": lambda run_id: pause(run_id, tenant=filters.tenant, actor=actor),
        "unpause": lambda run_id: unpause(run_id, tenant=filters.tenant, actor=actor),
        "resume": resumed,
    }
    if verb not in verbs:
        raise InvalidBody(f"`action` must be one of {', '.join(verbs)}")
    wanted = list(dict.fromkeys(run_ids)) or [run.id for run in queries.page(filters, limit=limit)[0]]
    result = Bulk()
    for run_id in wanted[:limit]:
        try:
            verbs[verb](run_id)
        except ZelavisError as error:
            result.refused[run_id] = error.code
        else:
            result.done.append(run_id)
    return result


def retire(*, older_than: int, limit: int = 500) -> int:
    """Remove runs that ended before ``older_than`` (milliseconds), with everything of theirs. Returns how many.

    A run whose parent, or whose child, is still active stays.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM runs_run r WHERE completed_at < %s "
            "AND NOT EXISTS (SELECT 1 FROM runs_run p WHERE p.id = r.parent_id AND p.completed_at IS NULL) "
            "AND NOT EXISTS (SELECT 1 FROM runs_run c WHERE c.parent_id = r.id AND c.completed_at IS NULL) "
            "ORDER BY completed_at LIMIT %s" + sql.skip_locked(),
            [older_than, limit],
        )
        gone = [row[0] for row in cursor.fetchall()]
        if gone:
            for table in ("data", "journal", "waitpoint", "inbox", "chunk", "tag", "slot", "idempotency"):
                cursor.execute(f"DELETE FROM runs_{table} WHERE run_id IN ({sql.marks(gone)})", gone)
            cursor.execute(f"DELETE FROM runs_run WHERE id IN ({sql.marks(gone)})", gone)
    return len(gone)


def retire_by_policy(*, now: int | None = None) -> int:
    """Retention: remove what is older than ``retention_days``; 0 keeps everything."""
    days = policy.current().retention_days
    if not days:
        return 0
    moment, removed = clock.now_ms() if now is None else now, 0
    before = moment - int(days * 86_400_000)
    while count := retire(older_than=before):
        removed += count
    while broadcasting.prune(before):
        pass
    return removed


def _lock_places(cursor: Any, run_id: str) -> None:
    """The lock of its concurrency key, before the run's own."""
    cursor.execute("SELECT concurrency_key FROM runs_run WHERE id = %s", [run_id])
    slots.lock(cursor, (cursor.fetchone() or (None,))[0])


def _lock(cursor: Any, run_id: str, tenant: str) -> Held:
    cursor.execute(f"SELECT {COLUMNS} FROM runs_run WHERE id = %s{sql.lock()}", [run_id])
    row = cursor.fetchone()
    if row is None or (tenant and row[1] != tenant):
        raise NotFound(f"no run {run_id[:200]!r} is stored here")
    return Held(*row)


def _set(run_id: str, tenant: str, actor: str, now: int, *, paused: bool) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        if not paused:
            # It may get a place under its key.
            _lock_places(cursor, run_id)
        run = _lock(cursor, run_id, tenant)
        if run.status in states.TERMINAL:
            raise Conflict(f"run {run_id} has ended (status: {run.status})")
        if run.paused == paused:
            return
        wake_at = None
        if run.lease_owner:
            # A driver in flight keeps its lease and sees the change at its next commit.
            wake_at = run.wake_at
        elif not paused:
            wake_at = _wake_of(cursor, run, now)
        cursor.execute(
            "UPDATE runs_run SET paused = %s, wake_at = %s, next_seq = next_seq + 1 WHERE id = %s",
            [paused, wake_at, run_id],
        )
        _note(cursor, run, "paused" if paused else "unpaused", actor, now)
        if wake_at is not None and not run.lease_owner:
            doorbell.ring("runs.tasks.drive", run_id)


def _wake_of(cursor: Any, run: Held, now: int) -> int | None:
    """When an unpaused run that nobody drives is looked at next."""
    if run.concurrency_key is not None:
        run.read(rows_of(cursor, [run.id])[run.id])
        limit = int((run.meta.get("concurrency") or {}).get("limit", 1))
        if not slots.admit(cursor, run.concurrency_key, run.id, limit=limit, now=now):
            return run.deadline
    if run.status == states.WAITING:
        wake_at = waitpoints.pending_wake(cursor, run.id, run.deadline)
        return None if wake_at is None else max(now, wake_at)
    return now


def _note(cursor: Any, run: Held, note: str, actor: str, now: int) -> None:
    """Journal it under the number that the caller's update took."""
    data = {"note": note} | ({"actor": actor} if actor else {})
    waitpoints.write_journal(
        cursor,
        waitpoints.journal_rows(
            run.id, [(JournalEntry.NOTE, note, data)], first=run.next_seq, fence=run.fence, now=now
        ),
    )
