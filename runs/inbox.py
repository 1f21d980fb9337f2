"""Injections: an event, a signal or a token's answer, sent to one run.

Each becomes a row with its disposition, under the run's lock: matched with the first pending waitpoint of its kind
and key, or, when asked to, kept until such a wait is registered. None is lost between two drivers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from runs import clock, jsontext, leases, sql, states, waitpoints
from runs.errors import NoMatch, NotParked, RunConflict
from runs.held import COLUMNS, Held, rows_of
from runs.jsontext import ABSENT
from runs.models import InboxItem, JournalEntry, Run
from zelavis import doorbell, identifiers
from zelavis.errors import NotFound


@dataclass(frozen=True)
class Receipt:
    """What became of an injection. ``held``: this process is to drive the run now."""

    id: str
    run_id: str
    disposition: str
    waitpoint: str | None = None
    seq: int | None = None
    #: Why it was refused: the status of the run, or nothing that waits for it.
    reason: str = ""
    held: Held | None = None

    def body(self) -> dict[str, Any]:
        """As JSON."""
        result: dict[str, Any] = {"receiptId": self.id, "runId": self.run_id, "disposition": self.disposition}
        optional = {"waitpointId": self.waitpoint, "runSeq": self.seq, "reason": self.reason or None}
        return result | {name: value for name, value in optional.items() if value is not None}


def inject(
    run_id: str,
    kind: str,
    key: str,
    *,
    payload: Any = ABSENT,
    buffer: bool = False,
    dedupe: str | None = None,
    tenant: str = "",
    actor: str = "",
    claim: bool = False,
    also_running: bool = False,
    now: int | None = None,
) -> Receipt:
    """Send ``payload`` to a run.

    ``buffer``: keep it when nothing waits for it yet; otherwise that is an error, as in the seed.
    ``dedupe``: the caller's key; the same one again changes nothing and gives ``duplicate``.
    ``also_running``: a run that goes on because of another wait is no error; what it still waits for is resolved.
    ``claim``: the caller drives the run (``held`` of the receipt); otherwise a worker does.

    Raises:
        NotFound: no such run for this tenant.
        NotParked: not ``buffer``, and the run is not waiting.
        NoMatch: not ``buffer``, and the run waits for something else.
        RunConflict: the same ``dedupe`` with another injection.
    """
    moment = clock.now_ms() if now is None else now
    digest = jsontext.fingerprint([kind, key, payload])
    sql.crash_point("before_commit:inject")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM runs_run WHERE id = %s{sql.lock()}", [run_id])
        row = cursor.fetchone()
        if row is None or (tenant and row[1] != tenant):
            raise NotFound("no run stored in this DO")
        held = Held(*row)
        if dedupe is not None:
            before = _before(cursor, run_id, dedupe, digest)
            if before is not None:
                return before
        if held.status != states.WAITING and not buffer and not (also_running and held.status == states.RUNNING):
            raise NotParked(f"run {held.id} is not parked (status: {held.status})")
        receipt = _match(cursor, held, kind, key, payload, moment, buffer=buffer, claim=claim)
        cursor.execute(
            "INSERT INTO runs_inbox (id, run_id, kind, key, dedupe, body_hash, payload, disposition, waitpoint, seq, "
            "actor, created_at, settled_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                *(receipt.id, run_id, kind, key, dedupe, digest, jsontext.text_or_none(payload)),
                *(receipt.disposition, receipt.waitpoint, receipt.seq, actor, moment),
                None if receipt.disposition == states.BUFFERED else moment,
            ],
        )
    sql.crash_point("after_commit:inject")
    if receipt.held is not None:
        leases.keep(receipt.held)
    return receipt


def _before(cursor: Any, run_id: str, dedupe: str, digest: str) -> Receipt | None:
    cursor.execute(
        "SELECT id, waitpoint, seq, body_hash FROM runs_inbox WHERE run_id = %s AND dedupe = %s", [run_id, dedupe]
    )
    row = cursor.fetchone()
    if row is None:
        return None
    if row[3] != digest:
        raise RunConflict(
            "This Idempotency-Key was used for another injection.", existingHash=row[3], requestHash=digest
        )
    return Receipt(row[0], run_id, states.DUPLICATE, row[1], row[2])


def _match(
    cursor: Any, held: Held, kind: str, key: str, payload: Any, now: int, *, buffer: bool, claim: bool
) -> Receipt:
    waitpoint, newest = _first_wait_and_newest_receipt(cursor, held.id, kind, key)
    receipt_id = _receipt_id(newest, now)
    if states.is_terminal(held.status):
        return Receipt(receipt_id, held.id, states.EXPIRED, reason=f"the run is {held.status}")
    if waitpoint is None:
        if not buffer:
            raise NoMatch(f"no pending waitpoint matches kind={kind}, key={key}")
        if kind == states.MANUAL and _answered(cursor, held.id, key):
            return Receipt(receipt_id, held.id, states.EXPIRED, reason="the token was answered before")
        cursor.execute("UPDATE runs_run SET buffered = buffered + 1 WHERE id = %s", [held.id])
        return Receipt(receipt_id, held.id, states.BUFFERED)
    entry = waitpoints.entry(kind, now=now, source="live", key=key, payload=payload)
    waitpoints.resolve(cursor, held.id, [(waitpoint, entry, f"inbox:{receipt_id}")], now=now)
    waitpoints.write_journal(
        cursor,
        waitpoints.journal_rows(
            held.id,
            [(JournalEntry.RESOLVED, waitpoint, entry)],
            first=held.next_seq,
            fence=held.fence,
            now=now,
        ),
    )
    seq = held.next_seq
    taken = _ready(cursor, held, now, claim=claim)
    return Receipt(receipt_id, held.id, states.MATCHED, waitpoint, seq, held=held if taken else None)


def _first_wait_and_newest_receipt(cursor: Any, run_id: str, kind: str, key: str) -> tuple[str | None, str | None]:
    """One statement for both, and after the run is locked: nobody else adds a receipt meanwhile.

    The wait is the first registered of the pending ones with this kind and key.
    """
    cursor.execute(
        "SELECT (SELECT key FROM runs_waitpoint WHERE run_id = %s AND state = 'pending' AND kind = %s "
        "AND match_key = %s ORDER BY ordinal LIMIT 1), (SELECT MAX(id) FROM runs_inbox WHERE run_id = %s)",
        [run_id, kind, key, run_id],
    )
    waitpoint, newest = cursor.fetchone()
    return waitpoint, newest


def _receipt_id(newest: str | None, now: int) -> str:
    """Behind all of the run's: what came first is matched first, also in one millisecond or with clocks that lag."""
    made = identifiers.make("rcp", now_ms=now)
    return made if newest is None or newest < made else identifiers.after(newest)


def _ready(cursor: Any, held: Held, now: int, *, claim: bool) -> bool:
    """A wait of the run is over: take the run, or make it ready for a worker. Whether it was taken."""
    if held.status == states.RUNNING:
        # Somebody drives it and will see the resolution at its next commit.
        cursor.execute("UPDATE runs_run SET next_seq = next_seq + 1 WHERE id = %s", [held.id])
        return False
    if claim and not held.paused:
        held.status, held.fence, held.next_seq = states.RUNNING, held.fence + 1, held.next_seq + 1
        held.lease_owner, held.wake_at = leases.owner(), now + leases.lease_ms()
        held.invocations, held.claims = held.invocations + 1, 1
        cursor.execute(
            "UPDATE runs_run SET status = 'running', fence = %s, next_seq = %s, lease_owner = %s, wake_at = %s, "
            "invocations = %s, claims = 1 WHERE id = %s",
            [held.fence, held.next_seq, held.lease_owner, held.wake_at, held.invocations, held.id],
        )
        held.read(rows_of(cursor, [held.id])[held.id])
        return True
    cursor.execute(
        "UPDATE runs_run SET status = 'running', next_seq = next_seq + 1, wake_at = %s WHERE id = %s",
        [None if held.paused else now, held.id],
    )
    doorbell.ring("runs.tasks.drive", held.id)
    return False


def _answered(cursor: Any, run_id: str, token_id: str) -> bool:
    cursor.execute(
        "SELECT 1 FROM runs_waitpoint WHERE run_id = %s AND kind = 'MANUAL' AND match_key = %s AND state = 'resolved'",
        [run_id, token_id],
    )
    return cursor.fetchone() is not None


def receipts(run_id: str, *, tenant: str = "", limit: int = 1000) -> list[dict[str, Any]]:
    """What was sent to a run and what became of it, oldest first.

    Raises:
        NotFound: no such run for this tenant.
    """
    row = Run.objects.filter(pk=run_id).values_list("tenant", flat=True).first()
    if row is None or (tenant and row != tenant):
        raise NotFound("no run stored in this DO")
    return [
        {"kind": item.kind, "key": item.key, "createdAt": item.created_at}
        | Receipt(item.id, run_id, item.disposition, item.waitpoint, item.seq).body()
        for item in InboxItem.objects.filter(run_id=run_id).order_by("id")[:limit]
    ]
