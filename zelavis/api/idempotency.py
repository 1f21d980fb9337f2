"""``Idempotency-Key``: a POST that was answered is not done again, it is answered again.

A view takes part by inheriting :class:`Idempotent`. Kept are answers that say something was done; a refusal changed
nothing, so the same key may try again.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework import status
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from zelavis import encryption
from zelavis.api import problems
from zelavis.errors import Conflict, IdempotencyMismatch, InvalidRequest
from zelavis.models import ApiToken, IdempotencyKey

KEEP = timedelta(hours=24)
#: A request at work longer than this is taken for dead, and its key is free.
AT_WORK = timedelta(minutes=2)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_METHODS = frozenset({"POST", "PATCH", "DELETE"})
_HEADERS = ("Location", "ETag")


class IdempotencyConflict(Conflict):
    """A request with this Idempotency-Key is at work; wait for it."""

    code = "idempotency_in_progress"


class _Kept(Exception):
    """The answer exists already."""

    def __init__(self, row: IdempotencyKey) -> None:
        super().__init__(row.key)
        self.row = row


class Idempotent(APIView):
    """Honours ``Idempotency-Key`` on methods that change something."""

    _at_work: IdempotencyKey | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        key = request.headers.get("Idempotency-Key")
        if key is not None and request.method in _METHODS:
            self._at_work = _begin(request, key)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, _Kept):
            row = exc.row
            refused = (row.status or 0) >= status.HTTP_400_BAD_REQUEST
            kept = Response(
                json.loads(_opened(row.body)) if row.body else None,
                status=row.status,
                content_type=problems.CONTENT_TYPE if refused else None,
            )
            for name, value in json.loads(row.headers).items():
                kept[name] = value
            kept["Idempotency-Replayed"] = "true"
            return kept
        return super().handle_exception(exc)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Response:
        answer: Response = super().finalize_response(request, response, *args, **kwargs)
        row, self._at_work = self._at_work, None
        if row is not None:
            _end(row, answer)
        return answer


def _begin(request: Request, key: str) -> IdempotencyKey:
    if not _KEY.fullmatch(key):
        raise InvalidRequest("The Idempotency-Key header takes 1 to 255 printable ASCII characters without spaces.")
    caller = f"token:{request.auth.pk}" if isinstance(request.auth, ApiToken) else "anonymous"
    body: bytes = request._request.body
    told = f"{request.method} {request.get_full_path()}\n".encode() + body
    fingerprint = hashlib.sha256(told).hexdigest()
    now = timezone.now()
    IdempotencyKey.objects.filter(expires_at__lt=now).delete()
    try:
        with transaction.atomic():
            return IdempotencyKey.objects.create(
                caller=caller,
                key=key,
                fingerprint=fingerprint,
                status=None,
                created_at=now,
                expires_at=now + AT_WORK,
            )
    except IntegrityError:
        row = IdempotencyKey.objects.filter(caller=caller, key=key).first()
    if row is None or row.status is None:
        if row is not None and row.fingerprint != fingerprint:
            raise IdempotencyMismatch
        raise IdempotencyConflict(retryAfter=1)
    if row.fingerprint != fingerprint:
        raise IdempotencyMismatch
    raise _Kept(row)


def _opened(body: str) -> str:
    try:
        return encryption.unseal(body)
    except encryption.SecretUnreadable:
        raise encryption.SecretUnreadable(
            "The answer kept under this Idempotency-Key cannot be read with the present ZELAVIS_SECRET_KEY; "
            "what it tells of was done. Use a new key for a new request."
        ) from None


def _end(row: IdempotencyKey, answer: Response) -> None:
    # 422 with an activation is an attempt that was made and failed: it happened, and must not happen twice.
    done = answer.status_code < status.HTTP_400_BAD_REQUEST or (
        isinstance(answer.data, dict) and "activation" in answer.data
    )
    if not done:
        IdempotencyKey.objects.filter(pk=row.pk, status=None).delete()
        return
    # Sealed: an answer may hold a secret that was drawn for it and is told to its caller alone.
    body = "" if answer.data is None else encryption.seal(JSONRenderer().render(answer.data).decode())
    headers = {name: answer[name] for name in _HEADERS if answer.has_header(name)}
    IdempotencyKey.objects.filter(pk=row.pk).update(
        status=answer.status_code, body=body, headers=json.dumps(headers), expires_at=timezone.now() + KEEP
    )
