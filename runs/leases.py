"""Who may drive a run: a claim is a lease and a fence, raised by one.

A claim is one conditional UPDATE, so of two drivers one gets it. The lease ends by itself; while a driver is at
work a thread of its process extends it. A driver that was stopped for longer finds the fence gone at its next
write, because every write names the fence it was claimed with.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

from django.db import close_old_connections, connection, transaction

from runs import clock, policy, sql, states, waitpoints
from runs.held import COLUMNS, Held, rows_of

logger = logging.getLogger("runs.leases")
#: A run whose driver lost the database is due again after so long: the database may need a breath.
PUT_DOWN_MS = 250
_owner: tuple[int, str] = (0, "")
_lock = threading.Lock()
#: The claims of this process: (run, fence) → when its lease was last known to be extended.
_claims: dict[tuple[str, int], int] = {}
#: How to interrupt what is done under a claim of this process.
_interrupts: dict[tuple[str, int], Callable[[], None]] = {}
_keeper_pid = 0


def owner() -> str:
    """This process's name on leases."""
    global _owner
    if _owner[0] != os.getpid():
        _owner = (os.getpid(), f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(3)}")
    return _owner[1]


def lease_ms() -> int:
    """How long a claim lasts without a sign of life."""
    return int(policy.current().lease_seconds * 1000)


def claim(run_id: str, *, now: int | None = None) -> Held | None:
    """Take a run whose wake time has come; ``None`` when it is not due, paused, ended or held by another.

    What is due is resolved in the same transaction: sleeps that ended, waits that timed out.
    """
    moment = clock.now_ms() if now is None else now
    with transaction.atomic(), sql.cursor() as cursor:
        cursor.execute(
            "UPDATE runs_run SET fence = fence + 1, lease_owner = %s, wake_at = %s, claims = claims + 1, "
            "invocations = invocations + 1 "
            f"WHERE id = %s AND wake_at <= %s AND status IN ('running', 'waiting') AND NOT paused RETURNING {COLUMNS}",
            [owner(), moment + lease_ms(), run_id, moment],
        )
        row = cursor.fetchone()
        opened = _open(cursor, [Held(*row)], moment) if row else []
    _kept(opened)
    return opened[0] if opened else None


def claim_next(*, now: int | None = None) -> Held | None:
    """Take the most urgent run that is due: highest priority first, then longest overdue."""
    moment = clock.now_ms() if now is None else now
    for _ in range(100):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE runs_run SET fence = fence + 1, lease_owner = %s, wake_at = %s, claims = claims + 1, "
                f"invocations = invocations + 1 WHERE id = {_most_urgent()} RETURNING {COLUMNS}",
                [owner(), moment + lease_ms(), moment, moment, moment],
            )
            row = cursor.fetchone()
            # What follows asks for one run: its plan may be kept. That of the search may not, it depends on the time.
            with sql.cursor() as known:
                opened = _open(known, [Held(*row)], moment) if row else []
        if opened:
            _kept(opened)
            return opened[0]
        if row is None:
            return None
        # A wake-up for nothing was put right; look for the next.
    return None


def claim_several(at_most: int, *, now: int | None = None) -> list[Held]:
    """Take the runs that are longest overdue in one transaction: about as many round trips as for one.

    Nothing while a more urgent run is due: that is :func:`claim_next`'s. No run whose last driver died or stalled
    either: should it do so again, it takes nobody with it.
    """
    moment = clock.now_ms() if now is None else now
    due = "wake_at <= %s AND status IN ('running', 'waiting') AND NOT paused"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM runs_run WHERE {due} AND priority = 0 AND claims = 0 "
            f"AND NOT EXISTS (SELECT 1 FROM runs_run WHERE {due} AND NOT (priority = 0) AND priority > 0) "
            f"ORDER BY wake_at LIMIT %s{sql.skip_locked()}",
            [moment, moment, at_most],
        )
        order = {run_id: place for place, (run_id,) in enumerate(cursor.fetchall())}
        if not order:
            return []
        cursor.execute(
            "UPDATE runs_run SET fence = fence + 1, lease_owner = %s, wake_at = %s, claims = claims + 1, "
            f"invocations = invocations + 1 WHERE id IN ({sql.marks(order)}) RETURNING {COLUMNS}",
            [owner(), moment + lease_ms(), *order],
        )
        taken = sorted((Held(*row) for row in cursor.fetchall()), key=lambda held: order[held.id])
        opened = _open(cursor, taken, moment)
    _kept(opened)
    return opened


def _most_urgent() -> str:
    """The id of the run to take next; the present three times as parameter.

    Three looks into an index, of which the first that finds something is the last: ordering all that is due by priority
    would read and sort every row of a burst for each claim, 12 ms instead of 0.06 with 10,000 due.
    """
    due = (
        "SELECT id FROM runs_run WHERE wake_at <= %s AND status IN ('running', 'waiting') AND NOT paused "
        "AND {which} ORDER BY {order} LIMIT 1" + sql.skip_locked()
    )
    parts = (
        due.format(which="NOT (priority = 0) AND priority > 0", order="priority DESC, wake_at"),
        due.format(which="priority = 0", order="wake_at"),
        due.format(which="NOT (priority = 0) AND priority < 0", order="priority DESC, wake_at"),
    )
    return f"COALESCE(({parts[0]}), ({parts[1]}), ({parts[2]}))"


def _open(cursor: object, taken: Sequence[Held], now: int) -> list[Held]:
    """Resolve what is due and read the runs; without those that were looked at too early."""
    waiting = [held.id for held in taken if held.status == states.WAITING]
    found = waitpoints.due(cursor, waiting, now) if waiting else {}
    opened, closings = [], []
    for held in taken:
        over = found.get(held.id, [])
        if held.status == states.WAITING:
            if not over and not (held.deadline is not None and held.deadline <= now):
                _put_right(cursor, held)
                continue
            closings.append(_closing(held, over, now))
        opened.append(held)
    if closings:
        waitpoints.close(cursor, closings, now=now)
    rows = rows_of(cursor, [held.id for held in opened]) if opened else {}
    for held in opened:
        try:
            held.read(rows[held.id])
        except (ValueError, TypeError) as error:
            # The claim stands, so that a broken row is not the most urgent one for ever; its driver says what is wrong.
            held.unreadable = f"the run's rows cannot be read: {error}"
    return opened


def _closing(held: Held, over: Sequence[tuple[str, str]], now: int) -> waitpoints.Closing:
    """A waiting run goes on, with these waitpoints, or none, resolved."""
    resolutions = [
        (key, waitpoints.entry(kind, now=now, source="replay"), "alarm" if kind == states.DATETIME else "timeout")
        for key, kind in over
    ]
    entries = waitpoints.resolved_entries(resolutions)
    rows = waitpoints.journal_rows(held.id, entries, first=held.next_seq, fence=held.fence, now=now)
    held.status, held.next_seq = states.RUNNING, held.next_seq + len(entries)
    return waitpoints.Closing(held.id, resolutions, rows)


def _kept(opened: Sequence[Held]) -> None:
    """The claims of these runs are committed."""
    for held in opened:
        keep(held)
    if opened:
        sql.crash_point("after_commit:claim")


def _put_right(cursor: object, held: Held) -> None:
    """A waiting run was looked at too early: set its alarm again and do nothing else."""
    wake_at = waitpoints.pending_wake(cursor, held.id, held.deadline)
    cursor.execute(  # type: ignore[attr-defined]
        "UPDATE runs_run SET wake_at = %s, lease_owner = '', invocations = invocations - 1, claims = 0 WHERE id = %s",
        [wake_at, held.id],
    )


def keep(held: Held) -> None:
    """Extend the lease of this claim from now on, until :func:`let_go`."""
    global _keeper_pid
    with _lock:
        if _keeper_pid != os.getpid():
            # Also after a fork: threads do not survive one, and the parent's claims are not ours.
            _claims.clear()
            _keeper_pid = os.getpid()
            threading.Thread(target=_extend_for_ever, name="runs-leases", daemon=True).start()
        _claims[held.id, held.fence] = clock.now_ms()


def put_down(held: Held) -> None:
    """Give the claim up before its lease ends, without counting it as one whose driver died."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE runs_run SET wake_at = CASE WHEN paused THEN NULL ELSE %s END, lease_owner = '', "
            "claims = CASE WHEN claims > 0 THEN claims - 1 ELSE 0 END "
            "WHERE id = %s AND fence = %s AND status = 'running' AND lease_owner = %s",
            [clock.now_ms() + PUT_DOWN_MS, held.id, held.fence, owner()],
        )


def let_go(held: Held) -> None:
    """The claim is over, by a commit or by loss."""
    with _lock:
        _claims.pop((held.id, held.fence), None)


@contextlib.contextmanager
def interruptible(held: Held, fire: Callable[[], None]) -> Iterator[None]:
    """While inside: call ``fire``, from another thread, as soon as this process learns that the claim is lost."""
    key = (held.id, held.fence)
    with _lock:
        _interrupts[key] = fire
    try:
        yield
    finally:
        with _lock:
            _interrupts.pop(key, None)


def lost(run_id: str, fence: int | None = None) -> None:
    """The run was ended or taken over: interrupt whoever in this process drives it (with this fence, or any)."""
    with _lock:
        found = [fire for key, fire in _interrupts.items() if key[0] == run_id and fence in (None, key[1])]
    for fire in found:
        fire()


def held_here() -> list[tuple[str, int]]:
    """The claims of this process."""
    with _lock:
        return list(_claims)


def _extend_for_ever() -> None:
    pause = threading.Event()
    while True:
        pause.wait(policy.current().lease_seconds / 4)
        try:
            extend()
        except Exception as error:  # noqa: BLE001  without this thread every longer invocation would lose its run
            logger.warning("leases not extended", extra={"reason": str(error)})
            close_old_connections()


def extend(*, now: int | None = None) -> int:
    """Extend the leases of this process that are a third over; returns how many were."""
    moment = clock.now_ms() if now is None else now
    with _lock:
        tired = [key for key, since in _claims.items() if moment - since >= lease_ms() // 3]
    extended = 0
    for run_id, fence in tired:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE runs_run SET wake_at = %s WHERE id = %s AND fence = %s AND status = 'running' "
                "AND lease_owner = %s AND wake_at IS NOT NULL",
                [moment + lease_ms(), run_id, fence, owner()],
            )
            count = cursor.rowcount
        with _lock:
            if (run_id, fence) in _claims:
                if count:
                    _claims[run_id, fence] = moment
                else:
                    del _claims[run_id, fence]
        if not count:
            lost(run_id, fence)
        extended += count
    return extended
