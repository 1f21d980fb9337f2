"""``plugin publish``: submit a bundle to a server's queue, in pieces that a broken connection does not lose."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from marketplace.authoring.errors import AuthorError
from marketplace.bundles import digest_of

_SECONDS = 60.0
#: Bytes of a piece.
PIECE = 256 << 10
#: Tries of one request, and seconds before the second; each next one waits twice as long.
TRIES, FIRST_WAIT = 6, 0.5
_BUSY = (429, 502, 503, 504)


class Refused(AuthorError):
    """The server did not take the bundle; exit code 1. ``body``: what it answered."""

    def __init__(self, message: str, body: dict[str, Any]) -> None:
        super().__init__(message)
        self.body = body


def publish(
    content: bytes,
    *,
    name: str,
    publisher: str,
    server: str,
    token: str,
    progress: Callable[[int], object] = int,
    wait: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """The server's answer: release, state, checks, findings.

    The same bundle again goes on where an earlier try stopped, also one of another process.

    Args:
        progress: told how many bytes the server holds.

    Raises:
        Refused: with the server's reason.
        AuthorError: the server cannot be reached, is none of this kind, or its address or the token cannot be one.
    """
    if not token.isascii() or not token.isprintable():
        raise AuthorError("The token has characters that no token has.")
    try:
        client = httpx.Client(
            base_url=f"{server.rstrip('/')}/api/marketplace",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_SECONDS,
        )
    except (httpx.InvalidURL, ValueError) as error:
        raise AuthorError(f"{server} is no address of a server: {error}") from error
    with client:
        announced = {"plugin": name, "publisher": publisher, "size": len(content), "digest": digest_of(content)}
        upload = _ask(client, "POST", "/uploads", wait=wait, json=announced)
        place = f"/uploads/{upload['id']}"
        while (received := upload["received"]) < len(content):
            progress(received)
            upload = _piece(client, place, received, content[received : received + PIECE], wait=wait)
        progress(len(content))
        return _ask(client, "POST", f"{place}/finish", wait=wait, json={})


def _piece(
    client: httpx.Client, place: str, offset: int, piece: bytes, *, wait: Callable[[float], None]
) -> dict[str, Any]:
    """Send a piece; answers where the upload stands then. The server may stand elsewhere than we thought."""
    headers = {"Content-Type": "application/octet-stream", "Upload-Offset": str(offset)}
    try:
        return _ask(client, "PATCH", place, wait=wait, content=piece, headers=headers)
    except Refused as error:
        if error.body.get("error") != "upload_offset":
            raise
        return _ask(client, "GET", place, wait=wait)


def _ask(client: httpx.Client, method: str, path: str, *, wait: Callable[[float], None], **more: Any) -> dict[str, Any]:
    """One request, again when the connection breaks or the server is busy: each of them may come twice."""
    for number in range(TRIES):
        last = number == TRIES - 1
        try:
            answer = client.request(method, path, **more)
        except httpx.HTTPError as error:
            if last:
                place = client.base_url.copy_with(path="/")
                raise AuthorError(f"{place} cannot be reached: {str(error) or type(error).__name__}") from error
        else:
            hopeless = _said(answer).get("error") == "queue_full" or _said(answer).get("retryAfter", 0) > 60
            if answer.status_code not in _BUSY or last or hopeless:
                return _taken(answer)
        wait(FIRST_WAIT * 2**number)
    raise AssertionError("unreachable")


def _said(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _taken(answer: httpx.Response) -> dict[str, Any]:
    body = _said(answer)
    if answer.status_code < 400:
        if not answer.is_success or not body.get("id"):
            # A redirect, or somebody's page: not the server that was meant.
            raise AuthorError(f"{answer.request.url.host} answered {answer.status_code}, not as a marketplace does.")
        return body
    message = body.get("message") or body.get("detail") or "no reason given"
    lines = [f"{answer.request.url.host} answered {answer.status_code} {body.get('error', '')}: {message}"]
    found = body.get("findings") or body.get("errors") or []
    lines += [_line(one, body) for one in found if isinstance(one, dict)]
    raise Refused("\n".join(lines), body)


def _line(one: dict[str, Any], body: dict[str, Any]) -> str:
    """A finding of the audit, or a problem of the manifest: file, rule, what, advice."""
    place = one.get("place") or f"{body.get('file', '')}{one.get('pointer', '')}"
    text = f"{place}: {one.get('rule') or body.get('rule') or body.get('error')}: {one.get('message', '')}"
    return f"  {text} {one['advice']}" if one.get("advice") else f"  {text}"
