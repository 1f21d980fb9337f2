"""Concurrency keys: so many runs of a group hold a place at once, from their start until they end.

Places are rows, so the holder is visible. Taking and freeing them is serialised per key, by a lock that is taken before
any row of a run with that key: whoever ends such a run, or may cancel it for another, calls :func:`lock` first.
"""

from __future__ import annotations

import hashlib
from typing import Any

from django.db import connection

from runs import states, waitpoints
from zelavis import doorbell

_LONGEST = 300


def group(tenant: str, workflow_id: str, key: str | None) -> str:
    """The stored key: tenants and workflows do not share places, whatever their names are."""
    names = (name.replace("%", "%25").replace(":", "%3A") for name in (tenant, workflow_id))
    made = ":".join([*names, key or "default"])
    if len(made) <= _LONGEST:
        return made
    digest = hashlib.sha256(made.encode()).hexdigest()
    return f"{made[: _LONGEST - 1 - len(digest)]}:{digest}"


def lock(cursor: Any, key: str | None) -> None:
    """Keep others from this key's places for the rest of the transaction; ``None``: there is no key."""
    if key is not None and connection.vendor == "postgresql":
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"runs_slot:{key}"])


def holders(cursor: Any, key: str) -> list[str]:
    """The runs that hold a place, oldest first; locks the key."""
    lock(cursor, key)
    return holders_seen(cursor, key)


def holders_seen(cursor: Any, key: str) -> list[str]:
    """As :func:`holders`, for a reader: takes no lock."""
    cursor.execute("SELECT run_id FROM runs_slot WHERE key = %s ORDER BY taken_at, run_id", [key])
    return [row[0] for row in cursor.fetchall()]


def take(cursor: Any, key: str, run_id: str, *, now: int) -> None:
    """Note the place. The caller found one free by :func:`holders` in the same transaction."""
    cursor.execute("INSERT INTO runs_slot (key, run_id, taken_at) VALUES (%s, %s, %s)", [key, run_id, now])


def admit(cursor: Any, key: str, run_id: str, *, limit: int, now: int) -> bool:
    """Give the run a place if it has one or one is free; whether it has one now."""
    found = holders(cursor, key)
    if run_id in found:
        return True
    if len(found) >= max(1, limit):
        return False
    take(cursor, key, run_id, now=now)
    return True


def release(cursor: Any, run_id: str, key: str, *, now: int) -> None:
    """The run ended: its place goes to the most urgent run that waits for one."""
    holders(cursor, key)
    cursor.execute("DELETE FROM runs_slot WHERE key = %s AND run_id = %s", [key, run_id])
    if not cursor.rowcount:
        return
    cursor.execute(
        "SELECT id, status, deadline FROM runs_run r WHERE concurrency_key = %s "
        "AND status IN ('running', 'waiting') "
        "AND NOT paused AND lease_owner = '' AND NOT EXISTS (SELECT 1 FROM runs_slot s WHERE s.key = r.concurrency_key "
        "AND s.run_id = r.id) ORDER BY priority DESC, created_at, id LIMIT 1",
        [key],
    )
    row = cursor.fetchone()
    if row is not None:
        take(cursor, key, row[0], now=now)
        # One that was triggered with a delay goes on waiting for its time, now with a place.
        wake_at = waitpoints.pending_wake(cursor, row[0], row[2]) if row[1] == states.WAITING else now
        cursor.execute("UPDATE runs_run SET wake_at = %s WHERE id = %s AND lease_owner = ''", [wake_at, row[0]])
        doorbell.ring("runs.tasks.drive", row[0])
