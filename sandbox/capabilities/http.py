"""``http``: fetch from declared hosts."""

from __future__ import annotations

import base64
import re
import time
from typing import Any, ClassVar

from sandbox.capabilities import arguments, egress, hosts, redaction
from sandbox.capabilities.base import Capability, Context, Handler, Operation
from sandbox.capabilities.faults import Fault, Refused
from sandbox.capabilities.secrets import Binding, binding_of

DEFAULT_BYTES = 1 << 20
DEFAULT_TIMEOUT_MS = 2000
MAX_REQUEST_BODY = 262_144
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}")
#: Headers that belong to the host: framing, routing and what speaks in another's name.
_OURS = frozenset(
    [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "accept-encoding",
        "forwarded",
        "via",
        "proxy-connection",
        "cookie2",
        "http2-settings",
    ]
)
_HOP = frozenset(
    ["connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-encoding", "content-length"]
)


class HttpHandler(Handler):
    """Fetches during one call."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._hosts = [one for one in context.grant.get("hosts", ()) if isinstance(one, str)]

    def fetch(self, args: list[Any]) -> dict[str, Any]:
        arguments.no_more(args, 2)
        target = hosts.read(arguments.get(args, 0, name="url"))
        init = arguments.options(args, 1, allowed=("method", "headers", "body", "bodyBase64", "secret", "timeoutMs"))
        if not hosts.is_allowed(target, self._hosts):
            raise Refused("host_refused", f"{target.scheme}://{target.authority} is not a declared host.")
        method = init.get("method", "GET")
        if not isinstance(method, str) or method.upper() not in _METHODS:
            raise arguments.invalid(f"method must be one of {', '.join(_METHODS)}.")
        headers = _headers(init.get("headers"))
        body = _body(init)
        secret = self._secret(init.get("secret"), target, headers)
        most = self.context.quantity("bytes", DEFAULT_BYTES)
        asked = arguments.whole(init.get("timeoutMs", DEFAULT_TIMEOUT_MS), name="timeoutMs", least=1, most=60_000)
        allowed = self.context.quantity("timeoutMs", DEFAULT_TIMEOUT_MS)
        seconds = min(asked / 1000, allowed / 1000, self.context.remaining())
        answer = egress.send(
            target,
            method=method.upper(),
            headers=headers,
            body=body,
            deadline=time.monotonic() + seconds,
            most_bytes=most,
            call=self.context.call,
        )
        return self._told(answer, secret)

    def _secret(self, name: Any, target: hosts.Target, headers: list[tuple[str, str]]) -> str:
        """Put a secret into its header; gives back the secret, to take it out of the answer."""
        if name is None:
            return ""
        binding: Binding = binding_of(self.context, name)
        if not binding.covers(target):
            raise Refused("secret_refused", f"The secret {binding.name} is not for {target.host}{target.path[:80]}.")
        value = self.context.backend.secret(self.context.plugin, binding.name)
        if value is None:
            raise Fault("secret_missing", f"Nobody has set the secret {binding.name} yet.")
        self.context.redactions.add(value)
        headers[:] = [header for header in headers if header[0].lower() != binding.header.lower()]
        headers.append((binding.header, binding.prefix + value))
        return value

    def _told(self, answer: egress.Answer, secret: str) -> dict[str, Any]:
        body = answer.body
        headers = {name: value for name, value in answer.headers.items() if name not in _HOP}
        if secret:
            # A server that echoes what it got must not hand the secret to the guest.
            blank = redaction.Redactor([secret])
            body = blank.octets(body)
            headers = {blank.text(name): blank.text(value) for name, value in headers.items()}
        told: dict[str, Any] = {"status": answer.status, "ok": 200 <= answer.status < 300, "headers": headers}
        try:
            return {**told, "text": body.decode("utf-8")}
        except UnicodeDecodeError:
            return {**told, "base64": base64.b64encode(body).decode()}


def _headers(given: Any) -> list[tuple[str, str]]:
    if given is None:
        return []
    if not isinstance(given, dict) or len(given) > 50:
        raise arguments.invalid("headers must be an object of at most 50 members.")
    found = []
    for name, value in given.items():
        if not _TOKEN.fullmatch(name) or not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise arguments.invalid("A header is a name and a text of printable ASCII.")
        lowered = name.lower()
        if lowered in _OURS or lowered.startswith(("proxy-", "x-forwarded-", "sec-", "x-real-", "cf-")):
            raise arguments.invalid(f"The header {lowered} is set by the host.")
        found.append((name, value))
    return found


def _body(init: dict[str, Any]) -> bytes:
    if init.get("bodyBase64") is not None:
        return arguments.octets(init["bodyBase64"], name="bodyBase64", most=MAX_REQUEST_BODY)
    body = init.get("body")
    if body is None:
        return b""
    if not isinstance(body, str) or len(body.encode()) > MAX_REQUEST_BODY:
        raise arguments.invalid(f"body must be a text of at most {MAX_REQUEST_BODY} bytes.")
    return body.encode()


class Http(Capability):
    """Requests to declared hosts."""

    name = "http"
    summary = "Requests to declared hosts, over TLS, without redirects."
    risk = "Sends data to servers outside, and reads their answers."
    risk_level = "high"
    default_calls = 5
    default_hourly = 1000
    required = ("hosts",)
    quantities: ClassVar[dict[str, Any]] = {
        "hosts": {
            "type": "array",
            "minItems": 1,
            "maxItems": 20,
            "uniqueItems": True,
            "items": {"type": "string", "maxLength": 260, "pattern": hosts.PATTERN},
            "description": "name, *.name, name:port or http://name",
        },
        "bytes": {"type": "integer", "minimum": 1, "maximum": 4 << 20, "description": "Largest answer, decoded."},
        "timeoutMs": {"type": "integer", "minimum": 1, "maximum": 30_000, "description": "Longest request."},
    }
    handler = HttpHandler
    operations: ClassVar[dict[str, Operation]] = {
        "fetch": Operation(
            name="fetch",
            run=HttpHandler.fetch,
            signature="fetch(url, {method?, headers?, body?, bodyBase64?, secret?, timeoutMs?}) → "
            "{status, ok, headers, text or base64}",
            text="One request; a redirect comes back as it is, and following it is another request.",
        )
    }

    def problems(self, asked: Any) -> list[str]:
        found = [(one, hosts.problem(one)) for one in asked.get("hosts", ())]
        return [f"The host {name} {problem}." for name, problem in found if problem]

    def explain_quantities(self, grant: Any) -> list[str]:
        return [f"only to {', '.join(str(one) for one in grant.get('hosts', ()))}"]
