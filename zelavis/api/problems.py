"""Errors on the wire: the members of RFC 9457 plus the seeds' ``error`` and ``message``.

``{"type": "/problems/not_found", "title": "Not found", "status": 404, "detail": …, "instance": "/api/…",
"requestId": …, "error": "not_found", "message": …}``; some errors add members of their own, as documented.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, TooManyFieldsSent
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions, status
from rest_framework.response import Response

from zelavis import errors
from zelavis.logs import request_id

logger = logging.getLogger("zelavis.request")
CONTENT_TYPE = "application/problem+json"


def body(error: errors.ZelavisError, instance: str) -> dict[str, Any]:
    """The JSON object of an error."""
    return {
        "type": f"/problems/{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.message,
        "instance": instance,
        "requestId": request_id.get(),
        "error": error.code,
        "message": error.message,
        **error.members,
    }


def response(error: errors.ZelavisError, request: HttpRequest) -> HttpResponse:
    """The answer of a plain Django view."""
    answer = HttpResponse(
        json.dumps(body(error, request.path)), status=error.status, content_type=CONTENT_TYPE, headers=_headers(error)
    )
    answer.problem_code = error.code  # type: ignore[attr-defined]
    return answer


def exception_handler(exception: Exception, context: dict[str, Any]) -> Response | None:
    """Django REST framework's handler: every exception leaves as a problem, ours or not."""
    error = from_exception(exception)
    if error.status >= 500 and not isinstance(exception, errors.ZelavisError):
        logger.error("unhandled error", exc_info=exception, extra={"path": context["request"].path})
    answer = Response(
        body(error, context["request"].path), status=error.status, content_type=CONTENT_TYPE, headers=_headers(error)
    )
    answer.problem_code = error.code  # type: ignore[attr-defined]
    return answer


def from_exception(exception: Exception) -> errors.ZelavisError:
    """The error that stands for an exception of Django, of REST framework or of Python."""
    match exception:
        case errors.ZelavisError():
            return exception
        case Http404() | exceptions.NotFound():
            return errors.NotFound()
        case exceptions.ParseError():
            return errors.InvalidJson(str(exception.detail))
        case exceptions.ValidationError():
            found = list(_flatten(exception.detail, ""))
            first = f"{found[0]['pointer'] or 'body'}: {found[0]['detail']}" if found else None
            return errors.InvalidBody(first, errors=found)
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return errors.Unauthorized(str(exception.detail))
        case exceptions.PermissionDenied() | PermissionDenied():
            return errors.Forbidden()
        case exceptions.MethodNotAllowed():
            return errors.MethodNotAllowed(str(exception.detail))
        case exceptions.UnsupportedMediaType():
            return errors.UnsupportedMediaType(str(exception.detail))
        case exceptions.Throttled():
            return errors.TooManyRequests(retryAfter=int(getattr(exception, "wait", None) or 1))
        case RequestDataTooBig() | TooManyFieldsSent():
            return errors.PayloadTooLarge()
        case exceptions.APIException() if exception.status_code < status.HTTP_500_INTERNAL_SERVER_ERROR:
            return errors.InvalidRequest(str(exception.detail))
        case _ if isinstance(getattr(exception, "code", None), str) and isinstance(
            getattr(exception, "status", None), int
        ):
            # The sandbox stands below the shared nouns; its errors have the same members.
            return _adopt(exception)
        case _:
            return errors.ZelavisError()


def _adopt(exception: Any) -> errors.ZelavisError:
    adopted = errors.ZelavisError(str(getattr(exception, "message", exception)), **getattr(exception, "members", {}))
    adopted.code, adopted.status = exception.code, exception.status  # type: ignore[misc]
    return adopted


def _headers(error: errors.ZelavisError) -> dict[str, str]:
    if isinstance(error, errors.Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="zelavis"'}
    if "retryAfter" in error.members:
        return {"Retry-After": str(error.members["retryAfter"])}
    return {}


def _flatten(detail: Any, pointer: str) -> Iterator[dict[str, str]]:
    """REST framework's nested errors as ``{pointer, code, detail}``, one each."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _flatten(inner, pointer if name == "non_field_errors" else f"{pointer}/{name}")
    elif isinstance(detail, list):
        for inner in detail:
            yield from _flatten(inner, pointer)
    else:
        yield {"pointer": pointer, "code": getattr(detail, "code", "invalid"), "detail": str(detail)}
