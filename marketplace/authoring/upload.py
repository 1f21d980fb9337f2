"""``plugin publish``: submit a bundle to a server's curation queue."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx

from marketplace.authoring.errors import AuthorError

_SECONDS = 60.0


class Refused(AuthorError):
    """The server did not take the bundle; exit code 1."""


def publish(content: bytes, *, name: str, server: str, token: str) -> dict[str, Any]:
    """The server's answer: release, state, findings.

    Raises:
        Refused: with the server's reason.
        AuthorError: the server cannot be reached.
    """
    url = f"{server.rstrip('/')}/api/marketplace/plugins/{quote(name)}/releases"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/zip"}
    try:
        answer = httpx.post(url, content=content, headers=headers, timeout=_SECONDS)
    except httpx.HTTPError as error:
        raise AuthorError(f"{server} cannot be reached: {error}") from error
    try:
        body: dict[str, Any] = answer.json()
    except json.JSONDecodeError:
        body = {}
    if answer.status_code >= 400:
        message = body.get("message") or body.get("detail") or "no reason given"
        raise Refused(f"{server} answered {answer.status_code} {body.get('error', '')}: {message}")
    return body
