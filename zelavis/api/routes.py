"""``/plugins/:name/*`` on the wire."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from zelavis import audit, identifiers, registry, routes, tokens
from zelavis.api import problems
from zelavis.api.parsers import loads
from zelavis.errors import (
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    PayloadTooLarge,
    Unauthorized,
    UnknownPlugin,
    ZelavisError,
)
from zelavis.hooks import staged

SCOPE = "routes:call"


@csrf_exempt
def plugin_route(request: HttpRequest, name: str, path: str = "") -> HttpResponse:
    """Any method; no cookie counts here, so no request can be forged with one."""
    try:
        return _answer(request, name, f"/{path}")
    except MethodNotAllowed as error:
        answer = problems.response(error, request)
        answer["Allow"] = ", ".join(error.members["allow"])
        return answer
    except ZelavisError as error:
        return problems.response(error, request)


def _answer(request: HttpRequest, name: str, path: str) -> HttpResponse:
    entry = registry.active_entry(name)
    if entry is None:
        raise UnknownPlugin(f"No plugin {name[:64]!r} serves here.")
    call_id = identifiers.make("inv")
    choice = staged.choose([entry], call_id)[0]
    found = routes.match(choice.entry, str(request.method), path)
    actor = "" if found.route.public else _caller(request)
    length = request.headers.get("Content-Length", "0")
    if length.isdigit() and int(length) > routes.MAX_BODY:
        raise PayloadTooLarge(f"A plugin's route takes at most {routes.MAX_BODY} bytes.")
    raw = request.body
    if len(raw) > routes.MAX_BODY:
        raise PayloadTooLarge(f"A plugin's route takes at most {routes.MAX_BODY} bytes.")
    try:
        body = routes.body_of(request.headers.get("Content-Type", ""), raw, loads)
    except ValueError as error:
        raise InvalidRequest(f"The request body is not what its content type says: {error}") from None
    told = routes.call(
        choice,
        found,
        routes.Request(
            method=str(request.method),
            path=path,
            query={key: request.GET.getlist(key) for key in request.GET},
            headers=routes.visible_headers(request.headers),
            body=body,
        ),
        actor=actor,
        call_id=call_id,
    )
    return HttpResponse(b"" if request.method == "HEAD" else told.body, status=told.status, headers=told.headers)


def _caller(request: HttpRequest) -> str:
    """The token behind a request to a private route, as the audit log would name it."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not secret:
        raise Unauthorized("This route of the plugin is private: it needs Authorization: Bearer …")
    token = tokens.find(secret)
    if not token.allows(SCOPE):
        raise Forbidden(f"This request needs the scope {SCOPE}.", scope=SCOPE)
    request.auth = token  # type: ignore[attr-defined]
    return audit.actor_of(request)
