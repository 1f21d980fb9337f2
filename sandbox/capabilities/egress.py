"""The one way out: HTTP to a declared host, at an address that was looked at.

A URL is read once. Its host must be one the manifest declares; the name is resolved once, and refused as a whole when
any of its addresses is not a public one; the connection goes to that very address, with the name in SNI, certificate
check and ``Host``. No redirect is followed, no proxy variable is read, no cookie is kept. Time covers everything from
the look-up of the name to the last byte; bytes are capped before and after decoding.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from sandbox import interrupts
from sandbox.capabilities.faults import Fault, Refused
from sandbox.capabilities.hosts import Target

if TYPE_CHECKING:
    from sandbox.call import Call

#: All header lines of an answer together.
MAX_HEADER_BYTES = 65_536
#: Members of one compressed answer: enough for any that fits, too few to make work of.
_MOST_MEMBERS = 128
#: Seconds after which a wait looks whether it may go on.
_PATIENCE = 0.1
#: Name look-ups that hang at one time in this process; more are refused.
_resolvers = threading.BoundedSemaphore(32)
_NAT = [
    ipaddress.ip_network(text)
    for text in (
        # What is_global leaves open, and every range in which an IPv4 address hides in an IPv6 one.
        "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
        "::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
        "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back. Header names are lower-case; a repeated header is joined with a comma."""

    status: int
    headers: dict[str, str]
    body: bytes


def is_public(address: str) -> bool:
    """Whether an address may be connected to: public, unicast, and not a tunnel or mapping of another one."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if ip.version == 6 and ip not in ipaddress.ip_network("2000::/3"):
        return False
    return ip.is_global and not ip.is_multicast and not any(ip.version == net.version and ip in net for net in _NAT)


def resolve(target: Target, deadline: float, call: Call | None = None) -> str:
    """One address of the host, after all of them were looked at. ``call``: whose interruption ends the wait.

    Raises:
        Refused: ``address_refused``.
        Fault: ``resolve_failed`` or ``timeout``.
    """
    found: list[str] = []
    failed: list[str] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            for *_, address in socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM):
                found.append(str(address[0]))
        except (OSError, UnicodeError) as error:
            failed.append(str(error))
        finally:
            done.set()
            _resolvers.release()

    if not _resolvers.acquire(blocking=False):
        raise Fault("resolve_failed", "Too many name look-ups hang at the moment.")
    # A thread, because the system's resolver has no time-out of its own.
    try:
        threading.Thread(target=look_up, name="resolve", daemon=True).start()
    except RuntimeError:
        _resolvers.release()
        raise Fault("resolve_failed", "No name can be looked up at the moment.") from None
    while not done.wait(min(_PATIENCE, max(0.0, deadline - time.monotonic()))):
        if time.monotonic() >= deadline or (call is not None and interrupts.is_interrupted(call)):
            raise Fault("timeout", f"The name {target.host} was not resolved in time.")
    if failed or not found:
        raise Fault("resolve_failed", f"The name {target.host} cannot be resolved.")
    loopback = _is_allowed_loopback(target)
    for address in found:
        ip = ipaddress.ip_address(address)
        if not (ip.is_loopback if loopback else is_public(address)):
            raise Refused("address_refused", f"{target.host} leads to an address that is not public.")
    return found[0]


def _is_allowed_loopback(target: Target) -> bool:
    # For development and tests; empty unless the operator sets it.
    return f"{target.host}:{target.port}" in settings.SANDBOX_LOOPBACK_HOSTS


def send(
    target: Target,
    *,
    method: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    deadline: float,
    most_bytes: int,
    call: Call | None = None,
) -> Answer:
    """One request, one answer. ``deadline`` is on ``time.monotonic()``; interrupting ``call`` cuts it off.

    Raises:
        Refused: ``address_refused``.
        Fault: ``resolve_failed``, ``connect_failed``, ``tls_failed``, ``timeout``, ``response_too_large``,
            ``bad_response``.
    """
    address = resolve(target, deadline, call)
    connection = _Pinned(target, address, deadline, most_bytes + MAX_HEADER_BYTES, call)
    response: http.client.HTTPResponse | None = None
    try:
        connection.putrequest(method, target.path, skip_host=True, skip_accept_encoding=True)
        for name, value in (
            ("Host", target.authority),
            ("Accept-Encoding", "gzip, deflate"),
            ("Connection", "close"),
            *headers,
        ):
            connection.putheader(name, value)
        if body or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        raw = response.read(most_bytes + 1)
        if len(raw) > most_bytes:
            raise Fault("response_too_large", f"The answer has more than {most_bytes} bytes.")
        if response.length:
            # A read with a limit does not complain: the other side promised more and closed.
            raise Fault("bad_response", f"{target.host} closed before the end of its answer.")
        found: dict[str, str] = {}
        for name, value in response.getheaders():
            lowered = name.lower()
            found[lowered] = f"{found[lowered]}, {value}" if lowered in found else value
        return Answer(
            status=response.status,
            headers=found,
            body=_decoded(raw, found.get("content-encoding", ""), most_bytes),
        )
    except TimeoutError:
        raise Fault("timeout", f"{target.host} did not answer in time.") from None
    except ssl.SSLError as error:
        raise Fault(
            "tls_failed", f"{target.host}: the TLS connection failed ({error.reason or 'handshake'})."
        ) from None
    except (http.client.HTTPException, UnicodeError, ValueError):
        raise Fault("bad_response", f"{target.host} did not answer with valid HTTP.") from None
    except OSError:
        raise Fault("connect_failed", f"{target.host} could not be reached.") from None
    finally:
        if response is not None:
            response.close()
        connection.close()
        connection.release()


def _decoded(raw: bytes, encoding: str, most_bytes: int) -> bytes:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "deflate", "x-gzip"):
        raise Fault("bad_response", "The answer has a content encoding that was not asked for.")
    plain, rest = b"", raw
    for _ in range(_MOST_MEMBERS):
        if not rest or (plain and not rest.startswith(b"\x1f\x8b")):
            # No body, or padding after the last member of a gzip file.
            return plain
        # zlib's own header detection takes gzip and zlib; a bomb ends at the cap, not at the end of its input.
        inflater = zlib.decompressobj(wbits=47)
        try:
            plain += inflater.decompress(rest, most_bytes + 1 - len(plain))
        except zlib.error:
            raise Fault("bad_response", "The answer's compressed body is damaged.") from None
        if len(plain) > most_bytes:
            raise Fault("response_too_large", f"The answer has more than {most_bytes} bytes.")
        if not inflater.eof:
            raise Fault("bad_response", "The answer's compressed body has no end.")
        rest = inflater.unused_data
    raise Fault("bad_response", "The answer's compressed body has too many members.")


class _Timed(io.RawIOBase):
    """A socket's bytes under one deadline and one count, whatever pace the other side chooses."""

    def __init__(self, sock: socket.socket, deadline: float, most_bytes: int) -> None:
        self._socket = sock
        self._deadline = deadline
        self._left = most_bytes

    def close(self) -> None:
        # http.client lets go of the connection as soon as the headers of a closing answer are read: the body's reader
        # is then the last to hold the socket.
        if not self.closed:
            self._socket.close()
        super().close()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        size = self._socket.recv_into(buffer)
        self._left -= size
        if self._left < 0:
            raise Fault("response_too_large", "The answer has more bytes than it may have.")
        return size


class _Socket:
    """What ``http.client`` needs of a socket."""

    def __init__(self, sock: socket.socket, deadline: float, most_bytes: int) -> None:
        self._socket = sock
        self._deadline = deadline
        self._most = most_bytes
        self._read = False

    def makefile(self, mode: str) -> io.BufferedReader:
        self._read = True
        return io.BufferedReader(_Timed(self._socket, self._deadline, self._most))

    def sendall(self, data: bytes) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        self._socket.sendall(data)

    def close(self) -> None:
        if not self._read:
            self._socket.close()


class _Pinned(http.client.HTTPConnection):
    """Connects to an address that was looked at, in the name of a host."""

    def __init__(self, target: Target, address: str, deadline: float, most_bytes: int, call: Call | None) -> None:
        super().__init__(target.host, target.port)
        self._call = call
        self._cut_off = contextlib.ExitStack()
        self._target = target
        self._address = address
        self._deadline = deadline
        self._most = most_bytes

    def connect(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(left)
            # From here until it is closed, whatever the connection waits for ends when the call is interrupted.
            self._cut_off.enter_context(interrupts.closing(self._call, sock))
            sock.connect((self._address, self._target.port))
            if self._target.scheme == "https":
                sock = _tls().wrap_socket(sock, server_hostname=self._target.host)
        except BaseException:
            sock.close()
            raise
        self.sock = _Socket(sock, self._deadline, self._most)

    def release(self) -> None:
        """Forget the connection; after the body, which outlives ``close`` when the other side closes."""
        self._cut_off.close()


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
