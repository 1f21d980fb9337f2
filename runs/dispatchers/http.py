"""The ``http`` and ``service`` dispatchers: a signed step request to a tenant's step handler."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from django.db import connection

from runs import jsontext, leases, policy, protocol, sql
from runs.dispatchers.base import TenantError
from runs.dispatchers.client import Answer, Client, Interrupt, ResponseTooLarge
from runs.errors import ProtocolError
from runs.held import Held
from zelavis.logs import request_id

#: Statuses that ask for another try; every other 4xx means never.
_TRY_AGAIN = frozenset({408, 423, 425, 429})


@dataclass(frozen=True)
class HTTPDispatcher:
    """``url``: ``http(s)://host[:port][/base]``, or ``unix:/path`` for a sibling on this machine.

    The step path is appended to a base; a URL that already ends in it is used as it is.
    """

    name: str
    url: str
    secret: str
    seconds: float = 60.0

    def dispatch(self, held: Held) -> protocol.StepResponse:
        """See :class:`runs.dispatchers.base.Dispatcher`."""
        # A connection would otherwise hold the database's write lock for as long as the tenant takes.
        if connection.in_atomic_block and not _in_test():
            raise RuntimeError("a tenant must not be asked inside a transaction")
        body = jsontext.dumps(protocol.request(held)).encode()
        headers = {
            "content-type": "application/json; charset=utf-8",
            "x-voyant-protocol": str(protocol.VERSION),
            "x-zelavis-fence": str(held.fence),
        }
        if request_id.get():
            headers["x-request-id"] = request_id.get()
        if self.secret:
            headers["x-voyant-dispatch-auth"] = signature(self.secret, body)
        sql.crash_point("before_send")
        try:
            interrupt = Interrupt()
            with leases.interruptible(held, interrupt.fire):
                answer = _client(self.url).post(
                    _path(self.url),
                    body,
                    headers,
                    seconds=self.seconds,
                    max_bytes=policy.current().max_response_bytes,
                    interrupt=interrupt,
                )
        except TimeoutError as error:
            message = f"the tenant did not answer within {self.seconds:g} s"
            raise TenantError("tenant_unreachable", message, status=504) from error
        except ResponseTooLarge as error:
            raise TenantError("tenant_invalid_response", str(error), status=502) from error
        except (OSError, http.client.HTTPException) as error:
            message = str(error) or type(error).__name__
            raise TenantError("tenant_unreachable", message, status=502) from error
        sql.crash_point("after_send")
        return _believe(answer)


def signature(secret: str, body: bytes) -> str:
    """``x-voyant-dispatch-auth``: base64 of the HMAC-SHA256 of the exact bytes sent."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def _believe(answer: Answer) -> protocol.StepResponse:
    try:
        parsed: Any = _loads(answer.body)
    except ValueError:
        if answer.status == 200:
            raise ProtocolError(f"tenant returned non-JSON body (HTTP {answer.status})") from None
        parsed = None
    if answer.status == 200:
        return protocol.parse(parsed)
    told = parsed if isinstance(parsed, dict) else {}
    code, message = told.get("error"), told.get("message")
    if not (isinstance(code, str) and isinstance(message, str)):
        code = "tenant_error" if parsed is not None else "tenant_invalid_response"
        message = (
            f"tenant returned HTTP {answer.status}"
            if parsed is not None
            else f"tenant returned non-JSON body (HTTP {answer.status})"
        )
    raise TenantError(
        code,
        message,
        status=answer.status,
        permanent=400 <= answer.status < 500 and answer.status not in _TRY_AGAIN,
        retry_after=_retry_after(answer.headers.get("retry-after", "")),
    )


def _loads(raw: bytes) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(name)

    def finite(text: str) -> float:
        number = float(text)
        return refuse(text) if math.isinf(number) else number

    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=refuse, parse_float=finite)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if b"\\ud" in raw.lower():
        # A lone surrogate cannot be stored; say so now.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _retry_after(value: str) -> float | None:
    """Seconds, from either form of the header; at most an hour."""
    if value.isascii() and value.isdigit():
        return min(float(value), 3600.0)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), 3600.0)


_clients: dict[str, Client] = {}


def _client(url: str) -> Client:
    client = _clients.get(url)
    if client is None:
        client = _clients.setdefault(url, Client(url))
    return client


def close() -> None:
    """Close the idle connections to all tenants."""
    for client in _clients.values():
        client.close()


def _path(url: str) -> str:
    if url.startswith("unix:"):
        return protocol.PATH
    path = urlsplit(url).path.rstrip("/")
    return path if path.endswith(protocol.PATH) else path + protocol.PATH


def _in_test() -> bool:
    """Django's test cases wrap everything in a transaction; they mark it."""
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)
