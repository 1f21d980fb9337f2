"""Conditional requests: ``ETag`` from a row's revision, ``If-None-Match`` on reading, ``If-Match`` on changing."""

from __future__ import annotations

import re

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from zelavis.errors import PreconditionFailed

_TAG = re.compile(r'(?:W/)?"([a-z]+)-(\d{1,18})"')


def tag(kind: str, revision: int) -> str:
    """``W/"plugin-3"``."""
    return f'W/"{kind}-{revision}"'


def expected(request: Request, kind: str) -> int | None:
    """The revision that ``If-Match`` asks for; ``None`` without the header or with ``*``.

    Raises:
        PreconditionFailed: a tag that this resource can never have.
    """
    header = request.headers.get("If-Match", "").strip()
    if header in ("", "*"):
        return None
    match = _TAG.fullmatch(header)
    if match is None or match[1] != kind:
        raise PreconditionFailed(f'The If-Match header is not a tag of this resource (W/"{kind}-…").')
    return int(match[2])


def answer(request: Request, data: object, *, kind: str, revision: int, moving: bool = False) -> Response:
    """200 with the tag, or 304 when the caller has this revision.

    ``moving``: parts of ``data`` change without the revision now, so that the caller is not told that nothing did.
    """
    current = tag(kind, revision)
    known = [part.strip() for part in request.headers.get("If-None-Match", "").split(",")]
    # Weak comparison: the prefix says nothing here.
    if not moving and ("*" in known or current in known or current.removeprefix("W/") in known):
        return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": current})
    return Response(data, headers={"ETag": current})
