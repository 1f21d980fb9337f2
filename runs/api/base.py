"""What every route of durable runs has in common: the seed's headers, bodies and errors."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from runs import foreground, records
from runs.held import Held
from zelavis.api.parsers import loads
from zelavis.errors import InvalidBody, InvalidJson, RouteNotFound, Unauthorized

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET,POST,OPTIONS",
    "Access-Control-Allow-Headers": "content-type, x-voyant-protocol",
}


#: What the seed says of a header it cannot read; of any other token it says one sentence.
SEED_REFUSALS = ("missing Authorization header", "Authorization header must use the Bearer scheme")


class SeedJSON(JSONRenderer):
    """``application/json; charset=utf-8``, as the seed sends it."""

    charset = "utf-8"


class BodyError(Exception):
    """The seed answers a body that has a string ``error`` with that body; kept for its clients."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__("error")
        self.body = body


class SuffixNotFound(RouteNotFound):
    """There is nothing under this part of a run's path."""

    status = 400


class RunsView(APIView):
    """Base of the routes under ``/api/runs``, ``/api/manifests``, ``/api/events`` and ``/api/schedules``."""

    renderer_classes = (SeedJSON,)
    #: Errors are plain JSON here, with the members of a problem; the description says so.
    problem_type = "application/json"
    scopes: ClassVar[dict[str, str]] = {
        "GET": "runs:read",
        "POST": "runs:write",
        # No route takes these; the answer is the seed's.
        **dict.fromkeys(("PUT", "PATCH", "DELETE"), "runs:read"),
    }

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "OPTIONS":
            # Before authentication: a browser asks without credentials.
            return HttpResponse(status=204, content_type="application/json; charset=utf-8", headers=CORS)
        return super().dispatch(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, BodyError):
            return Response(exc.body, status=400)
        if isinstance(exc, Unauthorized) and exc.message not in SEED_REFUSALS:
            # Why a token is not good (unknown, expired, revoked) the seed does not tell.
            exc = Unauthorized("bearer token does not match any configured value")
        response = super().handle_exception(exc)
        response.content_type = None
        return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        for name, value in CORS.items():
            final.headers[name] = value
        return final


class RunView(RunsView):
    """Base of what stands under one run: other verbs are a 400, as in the seed."""

    suffix = ""

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        raise SuffixNotFound(f"unknown path suffix {self.suffix}")


class Nowhere(RunsView):
    """No route at all: 404 to whoever has a token, whatever its scopes, and 401 to everybody else."""

    scopes: ClassVar[dict[str, str]] = {}

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        raise RouteNotFound(path=request.path)


def tenant_of(request: Request) -> str:
    """The only tenant whose runs the caller sees; empty: all."""
    return str(getattr(request.auth, "tenant", "") or "")


def raw_body(request: Request) -> Any:
    """The body whatever its content type says.

    Raises:
        InvalidJson: not JSON; also when empty.
    """
    try:
        return loads(request._request.body)
    except ValueError as error:
        raise InvalidJson(f"The request body is not valid JSON: {error}") from None


def optional_object(request: Request) -> dict[str, Any]:
    """The body of a POST on a run: empty means ``{}``.

    Raises:
        InvalidJson: not JSON.
        InvalidBody: not an object.
        BodyError: it carries a string ``error``.
    """
    if not request._request.body.strip():
        return {}
    body = raw_body(request)
    if not isinstance(body, dict):
        raise InvalidBody("request body must be an object")
    if isinstance(body.get("error"), str):
        raise BodyError(body)
    return body


def wants_async(request: Request) -> bool:
    """Whether the caller asked not to wait: ``Prefer: respond-async``."""
    words = request.headers.get("Prefer", "").lower().replace(";", ",").split(",")
    return "respond-async" in [word.strip() for word in words]


def drive_and_load(run_id: str, held: Held | None, *, status: int = 200) -> Response:
    """Drive the run when this request holds it, then answer with its record."""
    record = None
    if held is not None:
        foreground.drive(held)
        record = records.of(held)
    return Response(records.load(run_id) if record is None else record, status=status)


def idempotency_key(request: Request) -> str | None:
    """The ``Idempotency-Key`` header.

    Raises:
        InvalidBody: empty, longer than 200 characters, or not printable.
    """
    key = request.headers.get("Idempotency-Key")
    if key is not None and (not 0 < len(key) <= 200 or not key.isprintable()):
        raise InvalidBody("Idempotency-Key must be 1 to 200 printable characters")
    return key
