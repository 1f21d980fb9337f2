"""Strict reading of what a plugin worker answers. Whatever is not an answer of the protocol is never "active"."""

from __future__ import annotations

from typing import Any

from zelavis.adapters.base import Answer, CallOutcome
from zelavis.adapters.http import ExchangeFailed, Reply, json_object

#: Statuses after which asking again makes sense.
_LATER = frozenset({404, 408, 425, 429, 500, 502, 503, 504})
#: What a worker may say became of a call; the sandbox's words.
CALL_STATUSES = frozenset(
    {
        "ok",
        "rejected",
        "deadline",
        "memory",
        "fuel",
        "trap",
        "output_invalid",
        "output_too_large",
        "capability_denied",
        "host_error",
        "cancelled",
        "busy",
    }
)
MAX_MESSAGE = 2000


def read_activation(reply: Reply, *, worker: str) -> Answer:
    """The answer to ``POST /__zelavis/plugin/activate``.

    200 with exactly ``{"status": "active"|"pending", "message"?: text}`` counts; a missing worker, a busy one and a
    broken one are ``pending`` with a code and end at the deadline; anything else is ``failed``.
    """
    if reply.status in _LATER:
        missing = reply.status == 404
        return Answer(
            status="pending",
            code="worker_not_found" if missing else "worker_http_error",
            message=f'Plugin worker "{worker}" is not there yet.'
            if missing
            else f'Plugin worker "{worker}" answered with HTTP {reply.status}.{_said(reply)}',
            http_status=reply.status,
        )
    if 300 <= reply.status < 400:
        return Answer(
            status="failed",
            code="worker_redirected",
            message=f'Plugin worker "{worker}" answered with a redirect, which is not followed.',
            http_status=reply.status,
        )
    if reply.status != 200:
        return Answer(
            status="failed",
            code="worker_refused",
            message=f'Plugin worker "{worker}" answered with HTTP {reply.status}.{_said(reply)}',
            http_status=reply.status,
        )
    try:
        body = json_object(reply)
    except ExchangeFailed as error:
        return _bad(error.message)
    status, message = body.get("status"), body.get("message", "")
    if set(body) - {"status", "message"}:
        return _bad("The worker's answer has members that the protocol does not know.")
    if not isinstance(message, str):
        return _bad("The worker's message is not a text.")
    if status == "active":
        return Answer(status="active", message=message[:MAX_MESSAGE], http_status=200)
    if status == "pending":
        return Answer(status="pending", message=message[:MAX_MESSAGE], code="worker_pending", http_status=200)
    return _bad("The worker's status is neither active nor pending.")


def read_deployment(reply: Reply, *, worker: str, digest: str) -> None:
    """The answer to ``POST /__zelavis/plugin/deploy``: 200 and ``{"status": "deployed", "digest": …}``.

    Raises:
        ExchangeFailed: anything else.
    """
    if reply.status != 200:
        raise ExchangeFailed(
            "worker_refused",
            f'Plugin worker "{worker}" refused the upload with HTTP {reply.status}.{_said(reply)}',
            transient=reply.status in _LATER,
            http_status=reply.status,
        )
    if json_object(reply) != {"status": "deployed", "digest": digest}:
        raise ExchangeFailed(
            "worker_bad_answer", "The worker did not confirm the uploaded digest.", transient=False, http_status=200
        )


def read_call(reply: Reply, *, call_id: str) -> CallOutcome:
    """The answer to ``POST /__zelavis/plugin/call``.

    Raises:
        ExchangeFailed: not 200, or not the outcome of this call.
    """
    if reply.status != 200:
        raise ExchangeFailed(
            "worker_not_found" if reply.status == 404 else "worker_http_error",
            f"The worker answered with HTTP {reply.status}.{_said(reply)}",
            transient=reply.status in _LATER,
            http_status=reply.status,
        )
    body = json_object(reply)
    error, status = body.get("error"), body.get("status")
    shapes = (
        body.get("id") == call_id
        and isinstance(status, str)
        and status in CALL_STATUSES
        and (error is None or (isinstance(error, dict) and all(isinstance(part, str) for part in error.values())))
        and all(_is_count(body.get(member, 0)) for member in ("durationMs", "memoryBytes", "hostCalls"))
    )
    if not shapes:
        raise ExchangeFailed(
            "worker_bad_answer",
            "The worker's answer is not the outcome of this call.",
            transient=False,
            http_status=200,
        )
    told: dict[str, str] = error or {}
    return CallOutcome(
        status=str(body["status"]),
        result=body.get("result"),
        error_name=told.get("name", "")[:200],
        error_message=told.get("message", "")[:MAX_MESSAGE],
        error_code=told.get("code", "")[:60],
        duration_ms=float(body.get("durationMs", 0)),
        memory_bytes=int(body.get("memoryBytes", 0)),
        host_calls=int(body.get("hostCalls", 0)),
    )


def unanswered(error: ExchangeFailed) -> Answer:
    """An activation that got no readable answer: asked again when that may help."""
    return Answer(
        status="pending" if error.transient else "failed",
        code=error.code,
        message=error.message,
        http_status=error.http_status,
    )


def unanswered_call(error: ExchangeFailed, *, duration_ms: float) -> CallOutcome:
    """A call that got no readable answer."""
    return CallOutcome(
        status="unreachable" if error.transient else "bad_answer",
        error_name="WorkerError",
        error_message=error.message,
        error_code=error.code,
        duration_ms=duration_ms,
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _bad(message: str) -> Answer:
    return Answer(status="failed", code="worker_bad_answer", message=message, http_status=200)


def _said(reply: Reply) -> str:
    """What the worker said about its refusal, when it said it in the protocol's way."""
    try:
        message = json_object(reply).get("message", "")
    except ExchangeFailed:
        return ""
    return f" It says: {message[:500]}" if isinstance(message, str) and message else ""
