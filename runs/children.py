"""Runs started by runs: once per waitpoint, told to the parent when they end, cancelled with it.

Rows of a family are locked from the ancestors down, so two members that end at once do not block each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runs import creation, jsontext, sql, states, waitpoints
from runs.held import Held
from runs.jsontext import ABSENT
from runs.models import JournalEntry
from runs.protocol import Wait
from zelavis import doorbell, identifiers

Resolution = tuple[str, dict[str, Any], str]


def start(cursor: Any, parent: Held, waits: Sequence[Wait], *, now: int) -> tuple[dict[str, str], list[Resolution]]:
    """Insert a ready run for each RUN waitpoint that has none. Detached ones are resolved on the spot.

    Returns the started runs by waitpoint, and the resolutions of the detached.
    """
    started: dict[str, str] = {}
    resolutions: list[Resolution] = []
    for wait in waits:
        if wait.kind != states.RUN or wait.key in parent.pending or wait.key in started:
            continue
        detached = bool(wait.meta.get("detach"))
        tags = wait.meta.get("tags")
        child = creation.NewRun(
            id=identifiers.make("run", now_ms=now),
            tenant=parent.tenant,
            workflow_id=wait.match_key,
            workflow_version=parent.workflow_version,
            environment=parent.environment,
            input=wait.meta.get("childInput", ABSENT),
            tenant_meta=parent.meta["tenantMeta"],
            triggered_by=parent.meta["triggeredBy"],
            tags=tags if isinstance(tags, list) else [],
            started_at=now,
            created_at=now,
            priority=parent.priority,
            parent_id=None if detached else parent.id,
            parent_waitpoint=None if detached else wait.key,
            provenance={"startedBy": parent.id, "waitpoint": wait.key},
        )
        creation.insert(cursor, child, claim=False, now=now)
        doorbell.ring("runs.tasks.drive", child.id)
        started[wait.key] = child.id
        if detached:
            resolutions.append((wait.key, waitpoints.entry(states.RUN, now=now, source="replay"), "detached"))
    return started, resolutions


def tell_parent(cursor: Any, child: Held, *, status: str, output: Any, error: dict[str, Any] | None, now: int) -> None:
    """Resolve the parent's RUN waitpoint with the child's end and make the parent ready.

    The caller holds the parent's row. A parent that ended, or no longer asks, is left alone.
    """
    cursor.execute(
        "SELECT state FROM runs_waitpoint WHERE run_id = %s AND key = %s", [child.parent_id, child.parent_waitpoint]
    )
    row = cursor.fetchone()
    if row is None or row[0] != states.PENDING:
        return
    cursor.execute(
        "UPDATE runs_run SET next_seq = next_seq + 1, "
        "wake_at = CASE WHEN paused THEN NULL WHEN status = 'waiting' THEN %s ELSE wake_at END, status = 'running' "
        "WHERE id = %s AND status IN ('running', 'waiting') RETURNING next_seq - 1, fence",
        [now, child.parent_id],
    )
    parent = cursor.fetchone()
    if parent is None:
        return
    if status == states.COMPLETED:
        entry = waitpoints.entry(states.RUN, now=now, source="replay", payload=output)
    else:
        told = error or {}
        entry = waitpoints.entry(
            states.RUN,
            now=now,
            source="replay",
            error={
                "category": told.get("category", "USER_ERROR"),
                "code": told.get("code", "CHILD_RUN_ENDED"),
                "message": told.get("message") or f"child run ended with status {status}",
            },
        )
    waitpoints.resolve(cursor, str(child.parent_id), [(str(child.parent_waitpoint), entry, "child")], now=now)
    waitpoints.write_journal(
        cursor,
        waitpoints.journal_rows(
            str(child.parent_id),
            [(JournalEntry.RESOLVED, str(child.parent_waitpoint), entry)],
            first=parent[0],
            fence=parent[1],
            now=now,
        ),
    )
    doorbell.ring("runs.tasks.drive", str(child.parent_id))


def attached(cursor: Any, run_id: str) -> list[str]:
    """The active children that go with their parent when it is cancelled, locked."""
    cursor.execute(
        "SELECT c.id, w.meta FROM runs_run c JOIN runs_waitpoint w ON w.run_id = c.parent_id "
        "AND w.key = c.parent_waitpoint WHERE c.parent_id = %s AND c.status IN ('running', 'waiting') ORDER BY c.id"
        + (sql.lock() + " OF c" if sql.lock() else ""),
        [run_id],
    )
    return [row[0] for row in cursor.fetchall() if not jsontext.loads(row[1]).get("detachOnCancel")]
