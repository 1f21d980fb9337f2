"""The few pieces of SQL that every hot statement shares. One code path for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper

from runs import policy

_ROWS_PER_STATEMENT = 400
_crash: Callable[[str], None] | None = None


def cursor() -> Any:
    """As ``connection.cursor()``, for statements that every run makes; on PostgreSQL the server keeps their plans.

    Django binds parameters on the client, so PostgreSQL parses and plans each statement anew: 315 µs for a journaled
    step against 178 µs. Needs a server connection of one's own, or a pooler that knows prepared statements.
    """
    if connection.vendor != "postgresql" or not policy.current().prepared_statements:
        return connection.cursor()
    import psycopg

    connection.close_if_health_check_failed()
    connection.ensure_connection()
    own = connection.connection
    if own.prepare_threshold is None:
        # Django's own cursors do not look at it: they have no parameters to prepare.
        own.prepare_threshold = 3
    return CursorWrapper(psycopg.Cursor(own), connection)


def lock() -> str:
    """What a ``SELECT`` needs to hold a row; on SQLite the IMMEDIATE transaction holds everything already."""
    return " FOR NO KEY UPDATE" if connection.vendor == "postgresql" else ""


def skip_locked() -> str:
    """As :func:`lock`, passing over rows that others hold."""
    return " FOR NO KEY UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""


def insert(cursor: Any, table: str, columns: str, rows: Sequence[Sequence[Any]], *, conflict: str = "") -> None:
    """Insert rows with as few statements as the parameter limit allows."""
    one = "(" + ",".join(["%s"] * len(rows[0])) + ")" if rows else ""
    for start in range(0, len(rows), _ROWS_PER_STATEMENT):
        part = rows[start : start + _ROWS_PER_STATEMENT]
        cursor.execute(
            f"INSERT INTO {table} ({columns}) VALUES {','.join([one] * len(part))} {conflict}",
            [value for row in part for value in row],
        )


def marks(values: Iterable[Any]) -> str:
    """``%s,%s,…`` for an IN list."""
    return ",".join("%s" for _ in values)


def crash_point(name: str) -> None:
    """A place where a test may end the process: right before or after each commit and each send."""
    if _crash is not None:
        _crash(name)


def on_crash_point(hook: Callable[[str], None] | None) -> None:
    """Install the hook of :func:`crash_point`; ``None`` removes it."""
    global _crash
    _crash = hook
