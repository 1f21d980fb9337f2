"""Concurrency keys: so many runs of a group hold a place at once, from their start until they end.

Places are rows, so the holder is visible. Taking and freeing them is serialised per key, by a lock that is taken before
any row of a run with that key: whoever ends such a run, or may cancel it for another, calls :func:`lock` first.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from zelavis import doorbell


def group(tenant: str, workflow_id: str, key: str | None) -> str:
    """The stored key: tenants and workflows do not share places."""
    return f"{tenant}:{workflow_id}:{key or 'default'}"[:300]


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
        "SELECT id FROM runs_run r WHERE concurrency_key = %s AND status = 'running' AND wake_at IS NULL "
        "AND NOT paused AND lease_owner = '' AND NOT EXISTS (SELECT 1 FROM runs_slot s WHERE s.key = r.concurrency_key "
        "AND s.run_id = r.id) ORDER BY priority DESC, created_at, id LIMIT 1",
        [key],
    )
    row = cursor.fetchone()
    if row is not None:
        take(cursor, key, row[0], now=now)
        cursor.execute("UPDATE runs_run SET wake_at = %s WHERE id = %s", [now, row[0]])
        doorbell.ring("runs.tasks.drive", row[0])
