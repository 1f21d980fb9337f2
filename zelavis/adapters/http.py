"""One HTTP exchange with a plugin worker: a total deadline, a size cap, no redirects, signatures both ways.

httpcore's own time-outs start anew with each read, so a server that sends a byte a second never meets them; the
network backend here gives every read what is left of the exchange instead.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore

from zelavis import signing
from zelavis.api.parsers import loads

_deadline: ContextVar[float] = ContextVar("exchange_deadline")
_pool: httpcore.ConnectionPool | None = None
_lock = threading.Lock()

#: Compact and in the order given, as ``JSON.stringify`` writes it.
_SEPARATORS = (",", ":")


class ExchangeFailed(Exception):
    """The exchange did not end in an answer that can be read."""

    def __init__(self, code: str, message: str, *, transient: bool, http_status: int | None = None) -> None:
        """``transient``: the same request may fare better later."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.transient = transient
        self.http_status = http_status


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A complete answer within its limits."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Stream(httpcore.NetworkStream):
    """A connection whose every operation ends with the exchange."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _left(httpcore.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Connects within what is left of the exchange."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> _Stream:
        left = _left(httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, left, local_address, socket_options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


def _left(late: type[Exception]) -> float:
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise late("the exchange's time is over")
    return left


def _connections() -> httpcore.ConnectionPool:
    global _pool
    with _lock:
        if _pool is None:
            # No HTTP/2, no proxy from the environment: the request goes where the worker's row says.
            _pool = httpcore.ConnectionPool(
                network_backend=_Backend(), max_connections=64, max_keepalive_connections=16, keepalive_expiry=20
            )
        return _pool


def close() -> None:
    """Close the kept connections."""
    global _pool
    with _lock:
        kept, _pool = _pool, None
    if kept is not None:
        kept.close()


def _after_fork() -> None:
    global _pool, _lock
    # The parent's connections are the parent's: two processes on one would read each other's answers.
    _pool, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def encode(document: Any) -> bytes:
    """A JSON document as it goes over the wire."""
    return json.dumps(document, separators=_SEPARATORS, ensure_ascii=False).encode()


def exchange(
    method: str,
    url: str,
    body: bytes,
    *,
    key: str | tuple[str, ...],
    message_id: str,
    timeout_ms: int,
    max_bytes: int,
    headers: dict[str, str] | None = None,
) -> Reply:
    """Send ``body`` and read the whole answer.

    Args:
        key: signs the request and checks the answer's signature; several while one is being changed: all of them
            sign and any of them counts. Empty: neither.
        message_id: the idempotency key; the answer's signature must name it.
        timeout_ms: from the first connect to the last byte.

    Raises:
        ExchangeFailed: with code ``worker_timeout``, ``worker_unreachable``, ``worker_answer_too_large``,
            ``worker_bad_signature``, ``worker_bad_answer`` or ``secret_unreadable``.
    """
    sent = {
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "zelavis",
        "idempotency-key": message_id,
        **(headers or {}),
    }
    if key:
        try:
            sent.update(signing.sign(body, key=key, message_id=message_id))
        except ValueError as error:
            raise ExchangeFailed(
                "secret_unreadable", "The worker's secret says whsec_ and is not base64.", transient=False
            ) from error
    token = _deadline.set(time.monotonic() + timeout_ms / 1000)
    try:
        # Every request of the protocol is idempotent by its key, so a connection that broke is worth one more try.
        try:
            reply = _once(method, url, body, sent, max_bytes)
        except (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError):
            reply = _once(method, url, body, sent, max_bytes)
    except httpcore.TimeoutException as error:
        raise ExchangeFailed(
            "worker_timeout", f"The worker did not answer within {timeout_ms} ms.", transient=True
        ) from error
    except httpcore.RemoteProtocolError as error:
        raise ExchangeFailed(
            "worker_bad_answer", "The worker's answer is not HTTP, or broke off.", transient=True
        ) from error
    except (httpcore.NetworkError, OSError) as error:
        raise ExchangeFailed("worker_unreachable", "The worker cannot be reached.", transient=True) from error
    except (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError, ValueError) as error:
        # ValueError: a host or a port that no URL can have.
        raise ExchangeFailed("worker_unreachable", "The worker's URL cannot be used.", transient=False) from error
    finally:
        _deadline.reset(token)
    if key and reply.status < 300:
        _check_signature(reply, key, message_id)
    return reply


def _once(method: str, url: str, body: bytes, headers: dict[str, str], max_bytes: int) -> Reply:
    with _connections().stream(method, url, headers=list(headers.items()), content=body) as response:
        received = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        if received.get("content-encoding", "identity").lower() != "identity":
            raise ExchangeFailed(
                "worker_bad_answer",
                "The worker sent a compressed answer, which was not asked for.",
                transient=False,
                http_status=response.status,
            )
        parts, size = [], 0
        for part in response.iter_stream():
            size += len(part)
            if size > max_bytes:
                raise ExchangeFailed(
                    "worker_answer_too_large",
                    f"The worker's answer is larger than {max_bytes} bytes.",
                    transient=False,
                    http_status=response.status,
                )
            parts.append(part)
    return Reply(status=response.status, headers=received, body=b"".join(parts))


def _check_signature(reply: Reply, key: str | tuple[str, ...], message_id: str) -> None:
    try:
        signed = signing.verify(reply.body, reply.headers, keys=[key] if isinstance(key, str) else key)
    except signing.BadSignature as error:
        raise ExchangeFailed(
            "worker_bad_signature", f"The worker's answer: {error.message}", transient=False, http_status=reply.status
        ) from error
    if signed != message_id:
        raise ExchangeFailed(
            "worker_bad_signature",
            "The worker's answer is signed for another request.",
            transient=False,
            http_status=reply.status,
        )


def json_object(reply: Reply) -> dict[str, Any]:
    """The answer's body, which has to be one JSON object sent as ``application/json``.

    Raises:
        ExchangeFailed: with code ``worker_bad_answer``.
    """
    media = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    problem = ""
    value: Any = None
    if media != "application/json":
        problem = f"The worker answered with the content type {media[:80] or 'none'!r} instead of application/json."
    else:
        try:
            value = loads(reply.body)
            json.loads(reply.body, object_pairs_hook=_no_duplicates)
        except ValueError as error:
            problem = f"The worker's answer is not valid JSON: {str(error)[:200]}"
        else:
            if not isinstance(value, dict):
                problem = "The worker's answer is not a JSON object."
    if problem:
        raise ExchangeFailed("worker_bad_answer", problem, transient=False, http_status=reply.status)
    found: dict[str, Any] = value
    return found


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return found
