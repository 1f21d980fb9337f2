"""The ledger: one row for every call.

The row of a call that ended well is written in the transaction of its effects: both stand or neither does. The row of
another call is written when it has ended; if it cannot be, the log says so and the caller still gets the outcome.
The operator may ask for rows in batches (``sandbox.batches``), and for only one in so many of the good calls.
"""

from __future__ import annotations

import functools
import json
import logging
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from sandbox import batches
from sandbox.artifact import Artifact
from sandbox.call import Call
from sandbox.outcome import Outcome

logger = logging.getLogger("sandbox.ledger")

#: Characters of a result, of an error, of the refusals and of the operator's detail that are kept.
MOST_TEXT = 8_192
MOST_LOGS = 65_536


def write(artifact: Artifact, call: Call, outcome: Outcome) -> None:
    """Write the row of one call. Never raises."""
    try:
        keep(artifact, call, outcome)
    except Exception:
        # The call is over and its effects stand; only its record is lost, and the log says so.
        logger.exception("ledger row not written", extra={"invocation": call.id, "plugin": call.plugin})


def keep(artifact: Artifact, call: Call, outcome: Outcome) -> None:
    """Write the row of a call that ended well, in the transaction of what it stored.

    Raises:
        DatabaseError: it could not be written; then its effects must not stand either.
    """
    if outcome.ok and not outcome.refusals and _left_out(call):
        return
    fields = row(artifact, call, outcome)
    if settings.SANDBOX_LEDGER == "batched":
        batches.add(fields)
    else:
        insert_many([fields])


def _left_out(call: Call) -> bool:
    """Whether a good call is one of those whose row the operator does without; drawn from its seed."""
    every: int = settings.SANDBOX_LEDGER_SAMPLE
    return every > 1 and call.seed % every != 0


def insert_many(rows: list[dict[str, Any]]) -> None:
    """Insert rows, in the present transaction if there is one.

    Raises:
        DatabaseError: none of them could be written.
    """
    # Every call comes by here: the statement is made once, where a model instance would be compiled each time.
    adapt = connection.ops.adapt_datetimefield_value
    values = [[adapt(one[name]) if name == "created_at" else one[name] for name in _COLUMNS] for one in rows]
    with connection.cursor() as cursor:
        if len(values) == 1:
            cursor.execute(_statement(), values[0])
            return
        with transaction.atomic():
            cursor.executemany(_statement(), values)


_COLUMNS = (
    *("id", "created_at", "plugin", "version", "digest", "hook", "status", "duration_ms", "memory_bytes", "fuel"),
    *("host_calls", "refusals", "result", "error", "refused", "logs", "operator_detail", "correlation", "actor"),
)


@functools.cache
def _statement() -> str:
    places = ", ".join(["%s"] * len(_COLUMNS))
    return f"INSERT INTO sandbox_invocation ({', '.join(_COLUMNS)}) VALUES ({places})"  # noqa: S608  our own names


def row(artifact: Artifact, call: Call, outcome: Outcome) -> dict[str, Any]:
    """The row's fields."""
    error = outcome.error
    return {
        "id": call.id,
        "created_at": datetime.fromtimestamp(call.now_ms / 1000, tz=UTC),
        "plugin": call.plugin,
        "version": call.version[:64],
        "digest": artifact.digest,
        "hook": call.hook[:120],
        "status": outcome.status.value,
        "duration_ms": outcome.duration_ms,
        "memory_bytes": outcome.memory_bytes,
        "fuel": outcome.fuel,
        "host_calls": outcome.host_calls,
        "refusals": len(outcome.refusals),
        "result": _text(outcome.result) if outcome.result is not None else "",
        "error": _text({"name": error.name, "message": error.message, "stack": error.stack, "code": error.code})
        if error is not None
        else "",
        "refused": _text([[r.capability, r.op, r.code, r.message] for r in outcome.refusals])
        if outcome.refusals
        else "",
        "logs": _text([[line.level, line.message] for line in outcome.logs], most=MOST_LOGS) if outcome.logs else "",
        "operator_detail": _plain(outcome.operator_detail)[:MOST_TEXT],
        "correlation": _plain(call.correlation)[:200],
        "actor": _plain(call.actor)[:200],
    }


def _text(value: Any, *, most: int = MOST_TEXT) -> str:
    """JSON text, cut where it is too long; NUL, which PostgreSQL does not store, stays an escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= most else text[:most] + "…"


def _plain(text: str) -> str:
    return text.replace("\0", "\\0") if "\0" in text else text
