"""Plugin-owned routes: ``/plugins/:name/*`` reaches the plugin through its adapter.

Private unless the manifest says public. Cookies, authorization and hop-by-hop headers never reach a plugin, and what
it answers cannot set cookies, loosen a policy or run script in this origin.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from zelavis import adapters, ledger
from zelavis.active import ActiveEntry, RouteBinding
from zelavis.adapters.base import Call, CallOutcome
from zelavis.adapters.http import encode
from zelavis.errors import MethodNotAllowed, PluginFailed, PluginResting, PluginRouteNotFound, ZelavisError
from zelavis.hooks import HOOKS, breakers, chain
from zelavis.hooks.firing import NOT_RUN
from zelavis.hooks.staged import Choice

#: Milliseconds for one request when the manifest names none.
DEFAULT_MS = 1_000
#: A larger request body is refused: base64 and the envelope have to fit the sandbox's input too.
MAX_BODY = 128 * 1024
_NOT_FOR_PLUGINS = re.compile(
    r"connection|keep-alive|te|trailer|transfer-encoding|upgrade|host|content-length|cookie2?|authorization|"
    r"proxy-.*|x-csrftoken|forwarded|x-forwarded-.*|x-real-ip|cf-.*|true-client-ip|idempotency-key"
)
_FROM_PLUGINS = re.compile(
    r"content-type|content-language|content-disposition|cache-control|etag|last-modified|expires|vary|retry-after|"
    r"location|link|x-plugin-[a-z0-9-]+"
)
#: Whatever a plugin sends, a browser shows it in an origin of its own and runs nothing of it.
_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


class PluginBadResponse(ZelavisError):
    """The plugin's answer is not a response."""

    code = "plugin_bad_response"
    status = 502


@dataclass(frozen=True, kw_only=True)
class Match:
    """A route of a plugin that fits a request."""

    route: RouteBinding
    params: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What of an HTTP request a plugin may see."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    #: ``{"json": …}``, ``{"text": …}``, ``{"base64": …}`` or ``None``.
    body: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Response:
    """A plugin's answer, checked."""

    status: int
    headers: dict[str, str]
    body: bytes


def match(entry: ActiveEntry, method: str, path: str) -> Match:
    """The route for a request; ``HEAD`` is a ``GET`` without a body.

    Raises:
        PluginRouteNotFound: no route has this path. MethodNotAllowed: one has, but not this method.
    """
    wanted = "GET" if method == "HEAD" else method
    allowed: set[str] = set()
    for route in entry.surface.routes:
        params = _params(route.path, path)
        if params is None:
            continue
        if wanted in route.methods:
            return Match(route=route, params=params)
        allowed.update(route.methods)
    if allowed:
        raise MethodNotAllowed(f"This route takes {', '.join(sorted(allowed))}.", allow=sorted(allowed))
    raise PluginRouteNotFound(f"The plugin {entry.name} has no route {path[:200]!r}.")


def visible_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Request headers without those that are not a plugin's business."""
    named = {name.lower().strip() for name in headers.get("Connection", "").split(",")}
    return {
        name.lower(): value
        for name, value in headers.items()
        if not _NOT_FOR_PLUGINS.fullmatch(name.lower()) and name.lower() not in named
    }


def body_of(content_type: str, raw: bytes, parse: Any) -> dict[str, Any] | None:
    """A request body as JSON value, text or base64, by its content type. ``parse`` reads strict JSON.

    Raises:
        ValueError: said to be JSON or text and is not.
    """
    if not raw:
        return None
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/json" or media.endswith("+json"):
        return {"json": parse(raw)}
    if media.startswith("text/") or media == "application/x-www-form-urlencoded":
        return {"text": raw.decode("utf-8")}
    return {"base64": base64.b64encode(raw).decode("ascii")}


def call(choice: Choice, found: Match, request: Request, *, actor: str, call_id: str) -> Response:
    """Ask the plugin and check its answer.

    Raises:
        PluginResting, PluginFailed, PluginBadResponse.
    """
    entry, now = choice.entry, timezone.now()
    breaker = None if choice.candidate else breakers.held([entry.name]).get(entry.name)
    if not breakers.admits(breaker, now=now):
        raise PluginResting(f"The plugin {entry.name} failed repeatedly and is let rest.", retryAfter=30)
    declared = entry.surface.limits.get("deadlineMs")
    wanted = declared if isinstance(declared, int) and declared > 0 else DEFAULT_MS
    here = chain.current()
    asked = Call(
        id=call_id,
        hook="route",
        event={
            "method": request.method,
            "path": request.path,
            "route": found.route.path,
            "params": found.params,
            "query": request.query,
            "headers": request.headers,
            "body": request.body,
            "public": found.route.public,
            "caller": {"actor": actor} if actor else None,
        },
        deadline_ms=min(wanted, HOOKS["route"].budget_ms),
        now_ms=int(now.timestamp() * 1000),
        correlation=here.correlation,
        actor=actor,
        depth=here.depth,
    )
    adapter = adapters.get(entry.adapter)
    with chain.within(asked.correlation, asked.depth):
        outcome = adapter.call(entry, asked)
    if adapter.capabilities.strategy == "worker-boundary" and outcome.status not in NOT_RUN:
        ledger.record(entry, asked, outcome)
    if not choice.candidate:
        breakers.record(entry.name, outcome.status, outcome.error_message, breaker=breaker, now=now)
    choice.count(outcome.status)
    if not outcome.ok:
        raise _failure(entry, asked, outcome)
    return response_of(outcome.result)


def response_of(answer: Any) -> Response:
    """A plugin's answer as a response.

    Raises:
        PluginBadResponse: not an object, two bodies, a status or header that cannot be.
    """
    if not isinstance(answer, dict):
        raise PluginBadResponse("The plugin's answer is not an object.")
    status = answer.get("status", 200)
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise PluginBadResponse("The plugin's status is not between 200 and 599.")
    headers = _checked_headers({} if answer.get("headers") is None else answer["headers"])
    bodies = [member for member in ("json", "text", "base64") if member in answer]
    if len(bodies) > 1:
        raise PluginBadResponse("The plugin's answer has more than one body.")
    kind, raw = ("application/octet-stream", b"")
    if bodies:
        kind, raw = _body(bodies[0], answer[bodies[0]])
    return Response(
        status=status,
        headers={
            "content-type": kind,
            "cache-control": "no-store",
            **headers,
            "content-security-policy": _POLICY,
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
        },
        body=raw,
    )


def _params(pattern: str, path: str) -> dict[str, str] | None:
    parts, given = pattern.strip("/").split("/"), path.strip("/").split("/")
    if len(parts) != len(given):
        return None
    params = {}
    for part, value in zip(parts, given, strict=True):
        if part.startswith(":") and value:
            params[part[1:]] = value
        elif part != value:
            return None
    return params


def _checked_headers(headers: Any) -> dict[str, str]:
    if not isinstance(headers, dict):
        raise PluginBadResponse("The plugin's headers are not an object.")
    checked = {}
    for name, value in headers.items():
        lowered = name.lower()
        if not _FROM_PLUGINS.fullmatch(lowered):
            continue
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > 2000:
            raise PluginBadResponse(f"The plugin's header {lowered} has a value that cannot be sent.")
        if lowered == "location" and not re.match(r"https?://[^/\\]|/[^/\\]|/$|\?|#", value):
            raise PluginBadResponse("The plugin's location is neither a path nor a web address.")
        checked[lowered] = value
    return checked


def _body(member: str, value: Any) -> tuple[str, bytes]:
    if member == "json":
        return "application/json", encode(value)
    if not isinstance(value, str):
        raise PluginBadResponse(f"The plugin's {member} is not a text.")
    if member == "text":
        return "text/plain; charset=utf-8", value.encode("utf-8", "replace")
    try:
        return "application/octet-stream", base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise PluginBadResponse("The plugin's base64 cannot be read.") from None


def _failure(entry: ActiveEntry, asked: Call, outcome: CallOutcome) -> ZelavisError:
    """What a caller is told: that it failed, how, and under which id an operator finds why."""
    members = {"plugin": entry.name, "invocation": asked.id, "outcome": outcome.status}
    if outcome.status in NOT_RUN:
        return PluginResting(f"The plugin {entry.name} cannot be reached now.", retryAfter=1, **members)
    return PluginFailed(f"The plugin {entry.name} ended with {outcome.status}.", **members)
