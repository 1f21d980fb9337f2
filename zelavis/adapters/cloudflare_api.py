"""Cloudflare's management API for scripts of a dispatch namespace: upload, list by tag, delete.

Every request here is idempotent by its method, so a failed one is sent again, with the same key, a few times and
within one total time. Credentials come from the environment with each request; they are kept in no row and stand in no
message, and what the API says is cleared of them before it is repeated.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.conf import settings

from zelavis.adapters.base import DeployRefused
from zelavis.adapters.http import ExchangeFailed, Reply, exchange, json_object

#: Tries of one request, and how long all of them together may take: well under the lease of an activation.
TRIES = 3
TOTAL_MS = 30_000
_LONGEST_PAUSE = 5.0
_MAX_ANSWER = 4 << 20
_LATER = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 530})


class CloudflareRefused(DeployRefused):
    """Cloudflare refused the script."""

    code = "cloudflare_refused"


class CloudflareCredentialsRefused(DeployRefused):
    """Cloudflare does not accept the API token for this account."""

    code = "cloudflare_credentials_refused"


class CloudflareNamespaceNotFound(DeployRefused):
    """There is no such dispatch namespace in the Cloudflare account."""

    code = "cloudflare_namespace_not_found"


class CloudflareTooLarge(DeployRefused):
    """The script is larger than Cloudflare takes."""

    code = "cloudflare_too_large"


class CloudflareUnavailable(DeployRefused):
    """Cloudflare's API could not be reached, or was too busy, in all tries."""

    code = "cloudflare_unavailable"
    status = 503


class CloudflareBadAnswer(DeployRefused):
    """Cloudflare's API answered with something its documentation does not know."""

    code = "cloudflare_bad_answer"
    status = 502


@dataclass(frozen=True, kw_only=True)
class Module:
    """One file of a script."""

    name: str
    media_type: str
    content: bytes


def upload(script: str, *, metadata: Mapping[str, Any], modules: list[Module], key: str) -> Reply:
    """Put a script, new or over the one of this name.

    Raises:
        DeployRefused: by subclass, what went wrong.
    """
    body, media_type = _multipart(metadata, modules)
    reply = _send("PUT", f"/scripts/{quote(script, safe='')}", body, key=key, media_type=media_type)
    result = _result(reply)
    if not isinstance(result, dict) or result.get("id", script) != script:
        raise CloudflareBadAnswer("Cloudflare confirmed another script than the one that was uploaded.")
    return reply


def tagged(tag: str, *, key: str) -> list[str]:
    """Names of all scripts of the namespace that carry ``tag``."""
    found = _result(_send("GET", f"/scripts?tags={quote(f'{tag}:yes', safe='')}", b"", key=key))
    if not isinstance(found, list):
        raise CloudflareBadAnswer("Cloudflare's list of scripts is not a list.")
    names = [item.get("id") or item.get("script_name") for item in found if isinstance(item, dict)]
    return sorted(name for name in names if isinstance(name, str))


def delete(script: str, *, key: str) -> bool:
    """Take a script away; ``False`` when it was not there."""
    reply = _send("DELETE", f"/scripts/{quote(script, safe='')}?force=true", b"", key=key, missing_is_fine=True)
    return reply.status != 404


def scrub(text: str) -> str:
    """``text`` without the API token, whoever put it there."""
    token = settings.ENVIRONMENT.cloudflare_api_token
    return text.replace(token, "[token]") if token else text


def _send(
    method: str,
    path: str,
    body: bytes,
    *,
    key: str,
    media_type: str = "application/json",
    missing_is_fine: bool = False,
    pause: Callable[[float], None] = time.sleep,
) -> Reply:
    environment = settings.ENVIRONMENT
    url = (
        f"{environment.cloudflare_api_url}/accounts/{environment.cloudflare_account_id}"
        f"/workers/dispatch/namespaces/{environment.cloudflare_namespace}{path}"
    )
    headers = {"authorization": f"Bearer {environment.cloudflare_api_token}", "content-type": media_type}
    end = time.monotonic() + TOTAL_MS / 1000
    problem = ""
    for attempt in range(TRIES):
        left = end - time.monotonic()
        if left <= 0:
            break
        wait = 0.25 * 4**attempt
        try:
            reply = exchange(
                method,
                url,
                body,
                key="",
                message_id=key,
                # A try that hangs leaves time for the others.
                timeout_ms=max(1, int(left * 1000 / (TRIES - attempt))),
                max_bytes=_MAX_ANSWER,
                headers=headers,
            )
        except ExchangeFailed as error:
            if not error.transient:
                raise CloudflareBadAnswer(
                    f"Cloudflare's API: {_OWN_WORDS.get(error.code, 'no readable answer')}."
                ) from error
            problem = _OWN_WORDS.get(error.code, "no readable answer")
        else:
            if reply.status not in _LATER:
                return _checked(reply, missing_is_fine)
            problem = f"HTTP {reply.status}{_said(reply)}"
            wait = _retry_after(reply) or wait
        if attempt + 1 < TRIES:
            pause(min(wait, _LONGEST_PAUSE, max(0.0, end - time.monotonic())))
    raise CloudflareUnavailable(f"Cloudflare's API could not be used in {TRIES} tries; the last time: {problem}.")


#: The exchange's codes speak of a worker; these are the same facts about the API.
_OWN_WORDS = {
    "worker_timeout": "no answer in time",
    "worker_unreachable": "it cannot be reached",
    "worker_bad_answer": "the answer is not HTTP, or broke off",
    "worker_answer_too_large": "the answer is too large",
}


def _checked(reply: Reply, missing_is_fine: bool) -> Reply:
    if reply.status == 200 or (reply.status == 404 and missing_is_fine):
        return reply
    said = _said(reply)
    if reply.status in (401, 403):
        raise CloudflareCredentialsRefused(f"Cloudflare does not accept the API token for this account{said}.")
    if reply.status == 404:
        raise CloudflareNamespaceNotFound(
            f"Cloudflare knows no dispatch namespace {settings.ENVIRONMENT.cloudflare_namespace!r} there{said}."
        )
    if reply.status == 413:
        raise CloudflareTooLarge(f"The script is larger than Cloudflare takes{said}.")
    if 300 <= reply.status < 400:
        raise CloudflareBadAnswer("Cloudflare's API answered with a redirect, which is not followed.")
    if 400 <= reply.status < 500:
        raise CloudflareRefused(f"Cloudflare refused with HTTP {reply.status}{said}.")
    raise CloudflareBadAnswer(f"Cloudflare's API answered with HTTP {reply.status}{said}.")


def _result(reply: Reply) -> Any:
    """``result`` of an envelope that says ``success``."""
    try:
        body = json_object(reply)
    except ExchangeFailed as error:
        raise CloudflareBadAnswer("Cloudflare's API answered with something other than a JSON object.") from error
    if body.get("success") is not True:
        raise CloudflareRefused(f"Cloudflare refused{_said(reply)}.")
    return body.get("result")


def _said(reply: Reply) -> str:
    """The codes and messages of the envelope's ``errors``, when they can be read."""
    try:
        errors = json_object(reply).get("errors")
    except ExchangeFailed:
        return ""
    told = [
        f"{error.get('code', '')} {error.get('message', '')}".strip()
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict)
    ]
    return f": {scrub('; '.join(told))[:500]}" if told else ""


def _retry_after(reply: Reply) -> float:
    given = reply.headers.get("retry-after", "")
    return float(given) if given.isascii() and given.isdigit() else 0.0


def _multipart(metadata: Mapping[str, Any], modules: list[Module]) -> tuple[bytes, str]:
    """A ``multipart/form-data`` body, the same for the same parts, and its media type."""
    described = json.dumps(metadata, separators=(",", ":"), ensure_ascii=False).encode()
    parts = [Module(name="metadata", media_type="application/json", content=described), *modules]
    digest = hashlib.sha256(b"\0".join(part.content for part in parts)).hexdigest()
    boundary = f"zelavis-{digest[:40]}"
    body = b""
    for part in parts:
        filename = "" if part.name == "metadata" else f'; filename="{part.name}"'
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{part.name}"{filename}\r\n'
        body += head.encode() + f"Content-Type: {part.media_type}\r\n\r\n".encode() + part.content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
