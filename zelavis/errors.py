"""Errors that reach a user. A class is one code; its docstring is the default message.

The code is the ``error`` member of every answer, the last word of the problem's ``type`` and a heading in
``docs/reference/errors.md``. Codes are never reused for another meaning.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ZelavisError(Exception):
    """Something went wrong."""

    #: Stable, documented, snake_case.
    code: ClassVar[str] = "internal_error"
    #: HTTP status of the answer.
    status: ClassVar[int] = 500

    def __init__(self, message: str | None = None, **members: Any) -> None:
        """``members`` are added to the answer as they are (camelCase names)."""
        self.message = message or (self.__doc__ or "").strip().splitlines()[0]
        self.members = members
        super().__init__(self.message)


class InvalidRequest(ZelavisError):
    """The request has a value that cannot be used."""

    code = "invalid_request"
    status = 400


class InvalidJson(ZelavisError):
    """The request body is not valid JSON."""

    code = "invalid_json"
    status = 400


class InvalidBody(ZelavisError):
    """The request body is not what this route takes."""

    code = "invalid_body"
    status = 400


class Unauthorized(ZelavisError):
    """This request needs a token: Authorization: Bearer …"""

    code = "unauthorized"
    status = 401


class Forbidden(ZelavisError):
    """The token does not carry the scope that this request needs."""

    code = "forbidden"
    status = 403


class NotFound(ZelavisError):
    """There is nothing here under this name."""

    code = "not_found"
    status = 404


class RouteNotFound(ZelavisError):
    """There is no such route."""

    code = "route_not_found"
    status = 404


class MethodNotAllowed(ZelavisError):
    """This route does not take that method."""

    code = "method_not_allowed"
    status = 405


class Conflict(ZelavisError):
    """The state changed meanwhile; read it again and decide anew."""

    code = "conflict"
    status = 409


class PreconditionFailed(ZelavisError):
    """The If-Match header names an older state than the present one."""

    code = "precondition_failed"
    status = 412


class PayloadTooLarge(ZelavisError):
    """The request body is larger than this route takes."""

    code = "payload_too_large"
    status = 413


class UnsupportedMediaType(ZelavisError):
    """This route takes application/json."""

    code = "unsupported_media_type"
    status = 415


class IdempotencyMismatch(ZelavisError):
    """This Idempotency-Key was used before with another body."""

    code = "idempotency_mismatch"
    status = 422


class TooManyRequests(ZelavisError):
    """Too many requests; try again after the time in Retry-After."""

    code = "too_many_requests"
    status = 429


class Unavailable(ZelavisError):
    """A part that this request needs is not available now."""

    code = "unavailable"
    status = 503
