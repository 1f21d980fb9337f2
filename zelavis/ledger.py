"""The ledger of calls: what the sandbox wrote of its own, and rows for calls that ran in a worker elsewhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import DatabaseError, transaction

from sandbox.models import Invocation
from zelavis.active import ActiveEntry
from zelavis.adapters.base import Call, CallOutcome

logger = logging.getLogger("zelavis.ledger")
#: A result or an error longer than this is kept cut short.
MAX_TEXT = 8_192
#: The sandbox's word for "nothing ran".
_NOT_RUN = "busy"


def known(ids: Iterable[str]) -> set[str]:
    """Which of these calls already ran."""
    return set(Invocation.objects.filter(pk__in=list(ids)).exclude(status=_NOT_RUN).values_list("pk", flat=True))


def find(call_id: str) -> CallOutcome | None:
    """What became of a call that already ran; a result too long to be kept whole is ``None``."""
    row = Invocation.objects.filter(pk=call_id).exclude(status=_NOT_RUN).first()
    if row is None:
        return None
    try:
        error = json.loads(row.error) if row.error else {}
    except ValueError:
        # Cut to its size in the middle.
        error = {"message": row.error}
    try:
        result = json.loads(row.result) if row.result else None
    except ValueError:
        result = None
    return CallOutcome(
        status=row.status,
        result=result,
        error_name=str(error.get("name", "")),
        error_message=str(error.get("message", "")),
        error_code=str(error.get("code", "")),
        duration_ms=row.duration_ms,
        memory_bytes=row.memory_bytes,
        host_calls=row.host_calls,
    )


def record(entry: ActiveEntry, call: Call, outcome: CallOutcome) -> None:
    """Write the row of a call that ran in a worker. Like the sandbox's: a row that cannot be written stops nobody."""
    error = {"name": outcome.error_name, "message": outcome.error_message, "stack": "", "code": outcome.error_code}
    try:
        with transaction.atomic():
            Invocation.objects.create(
                id=call.id,
                created_at=datetime.fromtimestamp(call.now_ms / 1000, tz=UTC),
                plugin=entry.name,
                version=entry.version[:64],
                digest=entry.digest,
                hook=call.hook,
                # The ledger's words are the sandbox's; an answer that was none is an output that was none.
                status="output_invalid" if outcome.status == "bad_answer" else outcome.status,
                duration_ms=outcome.duration_ms,
                memory_bytes=outcome.memory_bytes,
                host_calls=outcome.host_calls,
                result="" if outcome.result is None else _cut(json.dumps(outcome.result, ensure_ascii=False)),
                error=_cut(json.dumps(error, ensure_ascii=False)) if outcome.error_message else "",
                correlation=call.correlation,
                actor=call.actor,
            )
    except DatabaseError:
        logger.exception("ledger row not written", extra={"invocation": call.id, "plugin": entry.name})


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
