"""The ledger's rows as SQL takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction

from sandbox.capabilities.backends import sql

#: The columns of a row, in order; ``created_at`` is the second.
COLUMNS = (
    *("id", "created_at", "plugin", "version", "digest", "hook", "status", "duration_ms", "memory_bytes", "fuel"),
    *("host_calls", "refusals", "result", "error", "refused", "logs", "operator_detail", "correlation", "actor"),
)
#: The values of a row, in the order of :data:`COLUMNS`.
Row = tuple[Any, ...]
_INSERT = f"INSERT INTO sandbox_invocation ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"  # noqa: S608  our own names


def insert(rows: Sequence[Row]) -> None:
    """Insert rows, in the present transaction if there is one.

    Raises:
        DatabaseError: none of them could be written.
    """
    adapt = connection.ops.adapt_datetimefield_value
    values = [(one[0], adapt(one[1]), *one[2:]) for one in rows]
    if len(values) == 1:
        # Every call comes by here.
        sql.execute(_INSERT, values[0])
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(_INSERT, values)
