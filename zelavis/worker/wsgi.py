"""A small WSGI application: five signed requests, and nothing else of this server.

404 for other paths, 405 with ``Allow`` for other methods, 401 without a signature, 400 for what is not a request of
the protocol. Every answer is signed under the request's id.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "zelavis.settings")
django.setup()

from django.conf import settings  # noqa: E402  Django has to be set up first
from django.db import close_old_connections  # noqa: E402

from sandbox.errors import SandboxError  # noqa: E402
from zelavis import signing  # noqa: E402
from zelavis.adapters.dispatch import ACTIVATE, CALL, DEPLOY, PURGE, STOP  # noqa: E402
from zelavis.adapters.http import encode  # noqa: E402
from zelavis.api.parsers import loads  # noqa: E402
from zelavis.errors import InvalidRequest, Unavailable, ZelavisError  # noqa: E402
from zelavis.worker import hosting  # noqa: E402
from zelavis.worker.replays import Answer, Answers  # noqa: E402
from zelavis.worker.requests import INVALID, parse  # noqa: E402

logger = logging.getLogger("zelavis.worker")
#: The largest entry file in base64, with its manifest.
MAX_BODY = 8 << 20
_ANSWERS = Answers()
_PATHS = frozenset({ACTIVATE, DEPLOY, CALL, PURGE, STOP})
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed"}

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """The worker."""
    path, method = str(environ.get("PATH_INFO", "")), str(environ.get("REQUEST_METHOD", ""))
    headers: list[tuple[str, str]] = []
    message_id = ""
    if path == "/healthz" and method in ("GET", "HEAD"):
        status, document = 200, {"ok": True, "service": "zelavis plugin worker"}
    elif path not in _PATHS:
        status, document = 404, {"error": "not_found", "message": "Not Found"}
    elif method != "POST":
        status, document = 405, {"error": "method_not_allowed", "message": "This path takes POST."}
        headers.append(("Allow", "POST"))
    else:
        try:
            body = _body(environ)
            message_id = signing.verify(body, _headers(environ), keys=settings.ENVIRONMENT.worker_secrets)
            status, document = _answered(path, body, message_id, int(environ["HTTP_WEBHOOK_TIMESTAMP"]))
        except (ZelavisError, SandboxError) as error:
            status, document = error.status, {"error": error.code, "message": error.message}
        except Exception:
            # The caller gets an answer and the operator the traceback; the process goes on.
            logger.exception("request failed", extra={"path": path})
            status, document = 500, {"error": "internal_error", "message": "The worker failed."}
        finally:
            close_old_connections()
    raw = encode(document)
    if message_id:
        signed = signing.sign(raw, key=settings.ENVIRONMENT.worker_secrets, message_id=message_id)
        headers += list(signed.items())
    headers += [("Content-Type", "application/json"), ("Content-Length", str(len(raw)))]
    start_response(f"{status} {_REASONS.get(status, 'Answer')}", headers)
    return [b"" if method == "HEAD" else raw]


def _answered(path: str, body: bytes, message_id: str, timestamp: int) -> tuple[int, dict[str, Any]]:
    if _ANSWERS.forgotten(timestamp):
        raise Unavailable("The request was signed before this worker started; send it again.")
    status, document = _ANSWERS.once(
        f"{path} {message_id}",
        lambda: _handle(path, body, message_id),
        # "Not yet" is asked again under the same id; calls are remembered by the ledger, but not their whole results.
        final=lambda answer: answer[0] == 200 and answer[1].get("status") not in ("pending", "busy"),
    )
    return status, dict(document)


def _handle(path: str, body: bytes, message_id: str) -> Answer:
    if path == ACTIVATE:
        asked = parse(body)
        return (400, INVALID) if asked is None else (200, hosting.activate(asked, message_id=message_id))
    try:
        document = loads(body)
    except ValueError as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidRequest("The request body is not an object.")
    if path == CALL and document.get("id") != message_id:
        raise InvalidRequest("A call is signed under its own id.")
    work = {DEPLOY: hosting.deploy, CALL: hosting.call, PURGE: hosting.purge, STOP: hosting.stop}
    return 200, work[path](document)


def _body(environ: dict[str, Any]) -> bytes:
    length = str(environ.get("CONTENT_LENGTH") or "0")
    if not length.isdigit() or int(length) > MAX_BODY:
        raise InvalidRequest(f"A request has at most {MAX_BODY} bytes.")
    found: bytes = environ["wsgi.input"].read(int(length))
    return found


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    return {
        name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name.startswith("HTTP_")
    }
