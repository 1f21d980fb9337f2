"""The ledger: one row for every call.

The row of a call that ended well is written in the transaction of its effects: both stand or neither does. The row of
another call is written when it has ended; if it cannot be, the log says so and the caller still gets the outcome.
The operator may ask for rows in batches (``sandbox.batches``), and for only one in so many of the good calls; neither
holds for a call that may be asked for again under its id (``Call.once``), whose row is what it is known by.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from sandbox import batches, rows
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
    if outcome.ok and not outcome.refusals and not call.once and _left_out(call):
        return
    one = row(artifact, call, outcome)
    if settings.SANDBOX_LEDGER == "batched" and not call.once:
        batches.add(one)
    else:
        rows.insert([one])


def _left_out(call: Call) -> bool:
    """Whether a good call is one of those whose row the operator does without; drawn from its seed."""
    every: int = settings.SANDBOX_LEDGER_SAMPLE
    return every > 1 and call.seed % every != 0


def row(artifact: Artifact, call: Call, outcome: Outcome) -> rows.Row:
    """The row of a call."""
    error, result, refusals, logs = outcome.error, outcome.result, outcome.refusals, outcome.logs
    return (
        call.id,
        datetime.fromtimestamp(call.now_ms / 1000, tz=UTC),
        call.plugin,
        call.version[:64],
        artifact.digest,
        call.hook[:120],
        outcome.status.value,
        outcome.duration_ms,
        outcome.memory_bytes,
        outcome.fuel,
        outcome.host_calls,
        len(refusals),
        _text(result) if result is not None else "",
        _text({"name": error.name, "message": error.message, "stack": error.stack, "code": error.code})
        if error is not None
        else "",
        _text([[one.capability, one.op, one.code, one.message] for one in refusals]) if refusals else "",
        _text([[line.level, line.message] for line in logs], most=MOST_LOGS) if logs else "",
        _plain(outcome.operator_detail)[:MOST_TEXT],
        _plain(call.correlation)[:200],
        _plain(call.actor)[:200],
    )


def _text(value: Any, *, most: int = MOST_TEXT) -> str:
    """JSON text, cut where it is too long; NUL, which PostgreSQL does not store, stays an escape."""
    text = _ENCODER.encode(value)
    return text if len(text) <= most else text[:most] + "…"


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _plain(text: str) -> str:
    return text.replace("\0", "\\0") if "\0" in text else text
