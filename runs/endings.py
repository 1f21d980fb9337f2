"""The end of a run, and what it means for its family and for whoever waits for its place. In one transaction."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction

from runs import children, jsontext, leases, slots, states, waitpoints
from runs.held import COLUMNS, Held
from runs.jsontext import ABSENT
from runs.models import JournalEntry


def ended(
    cursor: Any, held: Held, *, status: str, output: Any = ABSENT, error: dict[str, Any] | None, now: int
) -> None:
    """Tell the parent, and pass on the place under the concurrency key. The caller holds parent and run."""
    if held.parent_id is not None and held.parent_waitpoint is not None:
        children.tell_parent(cursor, held, status=status, output=output, error=error, now=now)
    if held.concurrency_key is not None:
        slots.release(cursor, held.id, held.concurrency_key, now=now)


def expire_buffered(cursor: Any, run_id: str, *, now: int) -> None:
    """What was kept for a wait that never came has no more use; its receipts say so."""
    cursor.execute(
        "UPDATE runs_inbox SET disposition = 'expired', settled_at = %s WHERE run_id = %s AND disposition = 'buffered'",
        [now, run_id],
    )
    cursor.execute("UPDATE runs_run SET buffered = 0 WHERE id = %s", [run_id])


def cancel(cursor: Any, run_id: str, *, reason: Any, now: int, actor: str = "") -> bool:
    """End an active run and its attached children as cancelled; ``False`` when it had ended.

    The fence is raised, so that a driver in flight finds itself fenced off. Without a reason there is no error.
    """
    cursor.execute(
        "UPDATE runs_run SET status = 'cancelled', fence = fence + 1, lease_owner = '', wake_at = NULL, "
        "completed_at = %s, next_seq = next_seq + 1 WHERE id = %s AND status IN ('running', 'waiting') "
        f"RETURNING {COLUMNS}",
        [now, run_id],
    )
    row = cursor.fetchone()
    if row is None:
        return False
    held = Held(*row)
    # A driver in this process hangs up on the tenant at once; one elsewhere when it next extends its lease.
    transaction.on_commit(partial(leases.lost, run_id))
    if held.buffered:
        expire_buffered(cursor, run_id, now=now)
    for child in children.attached(cursor, run_id):
        cancel(cursor, child, reason=reason or "the parent run was cancelled", now=now, actor=actor)
    error = None
    if reason is not ABSENT and reason:
        error = {"category": "USER_ERROR", "code": "CANCELLED", "message": reason}
        cursor.execute("UPDATE runs_data SET error = %s WHERE run_id = %s", [jsontext.dumps(error), run_id])
    note = {"note": "cancelled"} | ({"actor": actor} if actor else {})
    waitpoints.write_journal(
        cursor,
        waitpoints.journal_rows(
            run_id, [(JournalEntry.NOTE, "cancelled", note)], first=held.next_seq - 1, fence=held.fence, now=now
        ),
    )
    waitpoints.drop_all(cursor, run_id, now=now)
    ended(cursor, held, status=states.CANCELLED, error=error, now=now)
    return True
