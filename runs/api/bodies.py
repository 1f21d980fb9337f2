"""What ``POST /api/runs`` takes: every member checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runs import jsontext, lifecycle, policy
from runs.jsontext import ABSENT
from runs.manifests import durations
from zelavis.errors import Forbidden, InvalidBody, PayloadTooLarge

ENVIRONMENTS = ("production", "preview", "development")
STRATEGIES = ("queue", "cancel-in-progress", "cancel-newest", "round-robin")


@dataclass(frozen=True)
class TriggerBody:
    """A checked body, as arguments of :func:`runs.lifecycle.trigger`."""

    workflow_id: str
    arguments: dict[str, Any]


def trigger(body: Any, *, tenant: str, idempotency_key: str | None, now: int) -> TriggerBody:
    """Check the body of a trigger.

    ``tenant``: of the caller's token; empty: the body may name any.

    Raises:
        InvalidBody: a member is missing or of a wrong type; the message names it.
        Forbidden: it names another tenant than the token's.
        PayloadTooLarge: ``input`` is larger than allowed.
    """
    if not isinstance(body, dict):
        raise InvalidBody("request body must be an object")
    workflow_id = _text(body, "workflowId", required=True, longest=200)
    given = body.get("input", ABSENT)
    check_size(given, "input")
    key = _text(body, "idempotencyKey", longest=400) or idempotency_key
    environment = body.get("environment") or "development"
    if environment not in ENVIRONMENTS:
        raise InvalidBody("`environment` must be one of production, preview, development")
    arguments: dict[str, Any] = {
        "input": given,
        "workflow_version": _text(body, "workflowVersion", longest=200) or "v1",
        "environment": environment,
        "tenant_meta": tenant_meta(body.get("tenantMeta"), tenant),
        # The seed makes an id when this is not a string.
        "run_id": _run_id(body.get("runId")),
        "idempotency_key": key or None,
        "tags": body.get("tags"),
        "triggered_by": body.get("triggeredBy"),
        "delay_until": _delay(body.get("delay"), now),
        "priority": _integer(body, "priority", -1000, 1000) or 0,
        "timeout_ms": _integer(body, "timeoutMs", 1, durations.LONGEST),
        "deadline": _integer(body, "deadline", 1, durations.LONGEST),
        "concurrency": _concurrency(body.get("concurrency")),
    }
    hashed = {name: value for name, value in body.items() if name not in ("runId", "idempotencyKey")}
    return TriggerBody(workflow_id, {**arguments, "fingerprint": jsontext.fingerprint(hashed)})


def tenant_meta(given: Any, tenant: str) -> dict[str, Any]:
    """``tenantMeta`` with its three required members.

    Raises:
        InvalidBody: not an object of texts.
        Forbidden: another tenant than the token's.
    """
    default = lifecycle.default_tenant_meta(tenant)
    if given is None:
        return dict(default)
    if not isinstance(given, dict):
        raise InvalidBody("`tenantMeta` must be an object")
    merged = {**default, **given}
    for name in default:
        if not isinstance(merged[name], str) or not 0 < len(merged[name]) <= 200:
            raise InvalidBody(f"`tenantMeta.{name}` must be a string of 1 to 200 characters")
    if tenant and merged["tenantId"] != tenant:
        raise Forbidden("This token belongs to another tenant.")
    return merged


def check_size(value: Any, name: str) -> None:
    """Refuse a document larger than the policy allows.

    Raises:
        PayloadTooLarge: with the limit and the size found.
    """
    if value is ABSENT or value is None or isinstance(value, bool | int | float):
        return
    limit, size = policy.current().max_payload_bytes, len(jsontext.dumps(value).encode())
    if size > limit:
        raise PayloadTooLarge(f"`{name}` has {size} bytes; at most {limit} are taken.", limit=limit, size=size)


def _text(body: dict[str, Any], name: str, *, longest: int, required: bool = False) -> str:
    value = body.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not value:
        raise InvalidBody(f"`{name}` (string) is required" if required else f"`{name}` must be a string when provided")
    if len(value) > longest:
        raise InvalidBody(f"`{name}` has more than {longest} characters")
    return value


def _run_id(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    if len(value) > 400 or "/" in value or not value.isprintable():
        raise InvalidBody("`runId` must be 1 to 400 printable characters without a slash")
    return value


def _integer(body: dict[str, Any], name: str, lowest: int, highest: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise InvalidBody(f"`{name}` must be a number from {lowest} to {highest}")
    return int(value)


def _delay(value: Any, now: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, dict):
        moment = value.get("wakeAt")
        if isinstance(moment, bool) or not isinstance(moment, int | float):
            raise InvalidBody("`delay.wakeAt` must be a number of milliseconds")
        if abs(moment) > durations.LONGEST:
            raise InvalidBody("`delay.wakeAt` is not a moment")
        return int(moment)
    try:
        return min(now + durations.parse(value), durations.LONGEST)
    except durations.DurationError as error:
        raise InvalidBody(f"`delay`: {error}") from None


def _concurrency(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidBody("`concurrency` must be an object")
    key, limit, strategy = value.get("key"), value.get("limit", 1), value.get("strategy", "queue")
    if key is not None and (not isinstance(key, str) or not 0 < len(key) <= 100):
        raise InvalidBody("`concurrency.key` must be a string of 1 to 100 characters")
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit <= 1_000_000:
        raise InvalidBody("`concurrency.limit` must be a number")
    if strategy not in STRATEGIES:
        raise InvalidBody(f"`concurrency.strategy` must be one of {', '.join(STRATEGIES)}")
    return {"key": key, "limit": max(1, int(limit)), "strategy": strategy}
