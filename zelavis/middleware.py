"""What every answer gets: a request id, security headers, and errors in one shape."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from zelavis import identifiers
from zelavis.api import problems
from zelavis.errors import InvalidRequest, RouteNotFound, ZelavisError
from zelavis.logs import request_id

logger = logging.getLogger("zelavis.request")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,80}")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class RequestIdMiddleware:
    """Takes ``X-Request-ID`` from the caller when it is harmless, makes one otherwise, and answers with it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        current = given if _REQUEST_ID.fullmatch(given) else identifiers.make("req")
        token = request_id.set(current)
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response.headers["X-Request-ID"] = current
        if response.status_code >= 400 and request.path.startswith(("/api/", "/__zelavis/", "/plugins/")):
            logger.warning(
                "%s %s refused",
                request.method,
                request.path,
                extra={
                    "status": response.status_code,
                    "code": getattr(response, "problem_code", ""),
                    "request_id": current,
                },
            )
        return response


class SecurityHeadersMiddleware:
    """A content policy without inline script or style, on every page that did not set its own."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", _POLICY)
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
        if request.path.startswith("/api/"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class ProblemMiddleware:
    """Errors of plain views, and unknown routes under ``/api/``, in the API's shape."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # No name has a NUL, and PostgreSQL refuses a query that looks for one.
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            return problems.response(InvalidRequest("A path or a parameter holds a NUL character."), request)
        response = self.get_response(request)
        if (
            response.status_code == 404
            and request.path.startswith("/api/")
            and request.resolver_match is None
            and isinstance(response, HttpResponse)
        ):
            return problems.response(RouteNotFound(path=request.path), request)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, ZelavisError):
            return problems.response(exception, request)
        if request.path.startswith(("/api/", "/__zelavis/", "/plugins/")):
            known = problems.from_exception(exception)
            if known.status >= 500:
                logger.error("unhandled error", exc_info=exception, extra={"path": request.path})
            return problems.response(known, request)
        return None
