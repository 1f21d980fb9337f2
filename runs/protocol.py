"""The step protocol, version 1: what is sent to a tenant, and what of its answer is believed.

A request carries the whole journal; the tenant replays its body from the top and answers with what it got to.
An answer that is not a step response raises :class:`~runs.errors.ProtocolError` and changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runs import states
from runs.errors import ProtocolError
from runs.jsontext import ABSENT

if TYPE_CHECKING:
    from runs.held import Held

VERSION = 1
#: How "no deadline" is said on the wire: the largest integer that every JSON reader keeps exact.
NO_DEADLINE = 9007199254740991
PATH = "/__voyant/workflow-step"
#: Longest ids of steps, streams and waitpoints, and longest names that are waited for.
LONGEST_NAME = 400
#: Longest name of a workflow.
LONGEST_WORKFLOW = 200
#: Milliseconds: the last moment of a date, and so the longest wait.
LATEST = 8_640_000_000_000_000


@dataclass(frozen=True, slots=True)
class Wait:
    """One waitpoint that the body registered."""

    key: str
    kind: str
    meta: dict[str, Any]
    timeout_ms: int | None = None

    @property
    def match_key(self) -> str:
        """What an injection, or a reader, names it by."""
        member = states.INJECTABLE.get(self.kind) or ("childWorkflowId" if self.kind == states.RUN else "")
        value = self.meta.get(member, "") if member else ""
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class StepResponse:
    """A believed answer."""

    status: str
    steps: dict[str, Any]
    output: Any = ABSENT
    error: dict[str, Any] | None = None
    waits: list[Wait] = field(default_factory=list)
    metadata_updates: list[dict[str, Any]] = field(default_factory=list)
    chunks: list[dict[str, Any]] = field(default_factory=list)
    streams_completed: dict[str, Any] = field(default_factory=dict)
    compensations_run: dict[str, Any] = field(default_factory=dict)
    compensations: list[dict[str, Any]] = field(default_factory=list)


def request(held: Held) -> dict[str, Any]:
    """The body of a step request, members in the seed's order; ``input`` is left out when absent."""
    meta = held.meta
    body: dict[str, Any] = {
        "protocolVersion": VERSION,
        "runId": held.id,
        "workflowId": held.workflow_id,
        "workflowVersion": held.workflow_version,
        "invocationCount": held.invocations,
    }
    if held.input is not ABSENT:
        body["input"] = held.input
    body["journal"] = {
        "stepResults": held.steps,
        "waitpointsResolved": held.resolved,
        "compensationsRun": held.compensations,
        "metadataState": held.metadata,
        "streamsCompleted": held.streams,
    }
    body["environment"] = held.environment
    body["deadline"] = NO_DEADLINE if held.deadline is None else held.deadline
    body["tenantMeta"] = meta["tenantMeta"]
    body["runMeta"] = {
        **meta.get("runMeta", {"number": 1, "attempt": 1}),
        "triggeredBy": meta["triggeredBy"],
        "tags": meta["tags"],
        "startedAt": held.started_at,
    }
    return body


def parse(body: Any) -> StepResponse:
    """Check a 200 answer.

    Raises:
        ProtocolError: unknown status, or a member that is missing or of a wrong type.
    """
    _object(body, "the answer")
    status = body.get("status")
    if status not in states.RESPONSES:
        raise ProtocolError(f"tenant answered with unknown status {status!r}"[:200])
    journal = _object(body.get("journal"), "journal")
    steps = _object(journal.get("stepResults"), "journal.stepResults")
    for name, entry in steps.items():
        if _object(entry, f"journal.stepResults[{name!r}]").get("status") not in ("ok", "err"):
            raise ProtocolError(f"tenant answered with step {name!r} neither ok nor err"[:200])
    streams = _object(journal.get("streamsCompleted", {}), "journal.streamsCompleted")
    undone = _object(journal.get("compensationsRun", {}), "journal.compensationsRun")
    for name in (*steps, *streams, *undone):
        _name(name, "an id in journal")
    error = body.get("error")
    if error is not None or status == states.FAILED:
        _object(error, "error")
    return StepResponse(
        status=status,
        steps=steps,
        output=body.get("output", ABSENT),
        error=error,
        waits=[_wait(item) for item in _list(body, "waitpoints")] if status == states.WAITING else [],
        metadata_updates=[_update(item) for item in _list(body, "metadataUpdates")],
        chunks=[_chunk(item) for item in _list(body, "streamChunks")],
        streams_completed=streams,
        compensations_run=undone,
        compensations=[_report(item) for item in _list(body, "compensations")],
    )


def apply_updates(state: Mapping[str, Any], updates: list[dict[str, Any]]) -> dict[str, Any]:
    """The metadata after ``updates``; unknown operations are passed over, as the seed does."""
    result = dict(state)
    for update in updates:
        key, value = update["key"], update.get("value", ABSENT)
        match update["op"]:
            case "set":
                if value is ABSENT:
                    result.pop(key, None)
                else:
                    result[key] = value
            case "increment":
                result[key] = _sum(_number(result.get(key), 0), _number(1 if value is ABSENT else value, 0))
            case "append":
                before = result.get(key)
                result[key] = [*(before if isinstance(before, list) else []), None if value is ABSENT else value]
            case "remove":
                result.pop(key, None)
    return result


def public_error(error: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The three members of an error that a record shows."""
    if error is None:
        return None
    return {
        "category": error.get("category", "USER_ERROR"),
        "code": error.get("code", "UNKNOWN"),
        "message": error.get("message", ""),
    }


def runtime_error(code: str, message: str) -> dict[str, Any]:
    """An error made by the orchestrator itself."""
    return {"category": "RUNTIME_ERROR", "code": code, "message": message}


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError(f"tenant answered without an object for {name}"[:200])
    return value


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    value = body.get(name)
    if value is None and name != "waitpoints":
        return []
    if not isinstance(value, list):
        raise ProtocolError(f"tenant answered without a list for {name}")
    return value


def _wait(item: Any) -> Wait:
    _object(item, "waitpoints[]")
    key, kind, meta, timeout = item.get("clientWaitpointId"), item.get("kind"), item.get("meta"), item.get("timeoutMs")
    if not isinstance(key, str) or not key:
        raise ProtocolError("tenant answered with a waitpoint without clientWaitpointId")
    _name(key, "clientWaitpointId")
    if kind not in states.KINDS:
        raise ProtocolError(f"tenant answered with a waitpoint of unknown kind {kind!r}"[:200])
    meta = _object({} if meta is None else meta, "waitpoints[].meta")
    sleep = (meta.get("wakeAt"), meta.get("durationMs")) if kind == states.DATETIME else ()
    for number in (timeout, *sleep):
        if number is not None and not _is_time(number):
            raise ProtocolError(f"tenant answered with a time of waitpoint {key!r} that is not a time"[:200])
    wait = Wait(key, kind, meta, None if timeout is None else max(0, int(timeout)))
    if kind != states.DATETIME:
        if not wait.match_key:
            raise ProtocolError(f"tenant answered with waitpoint {key!r} that does not say what it waits for"[:200])
        _name(wait.match_key, "a waited-for name", longest_match(kind))
    return wait


def _update(item: Any) -> dict[str, Any]:
    _object(item, "metadataUpdates[]")
    if not isinstance(item.get("key"), str) or not isinstance(item.get("op"), str):
        raise ProtocolError("tenant answered with a metadata update without op and key")
    return item  # type: ignore[no-any-return]


def _chunk(item: Any) -> dict[str, Any]:
    _object(item, "streamChunks[]")
    if not isinstance(item.get("streamId"), str):
        raise ProtocolError("tenant answered with a stream chunk without streamId")
    _name(item["streamId"], "streamId")
    return item  # type: ignore[no-any-return]


def _report(item: Any) -> dict[str, Any]:
    step = _object(item, "compensations[]").get("stepId")
    if not isinstance(step, str):
        raise ProtocolError("tenant answered with a compensation without stepId")
    _name(step, "stepId")
    return item  # type: ignore[no-any-return]


def fits(value: str, longest: int = LONGEST_NAME) -> bool:
    """What becomes a column: not too long, and without the one character that a database text cannot hold."""
    return len(value) <= longest and "\x00" not in value


def longest_match(kind: str) -> int:
    """How long the name may be that a waitpoint of this kind waits for."""
    return LONGEST_WORKFLOW if kind == states.RUN else LONGEST_NAME


def _name(value: str, what: str, longest: int = LONGEST_NAME) -> None:
    if not fits(value, longest):
        raise ProtocolError(f"tenant answered with {what} that has a NUL or more than {longest} characters")


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -LATEST <= value <= LATEST


def _sum(left: float, right: float) -> float | None:
    """``None`` for what is no number in JSON any more, as the tenants' language writes it."""
    try:
        total = left + right
        return total if math.isfinite(total) else None
    except OverflowError:
        return None


def _number(value: Any, default: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default
