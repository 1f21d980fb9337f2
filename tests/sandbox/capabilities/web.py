"""A server that plugins may reach, which answers as a test says, and one that nobody trusts."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.capabilities import egress
from tests.sandbox.capabilities.harness import ask, make

Answer = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers a path as ``answers`` says, and keeps in ``seen`` what came: method, path, headers, body."""

    protocol_version = "HTTP/1.1"
    answers: dict[str, Answer] = {}
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.answers[self.path.partition("?")[0]](self)
        self.close_connection = True

    do_GET = do_POST = do_PUT = _any

    def plain(self, body: bytes, *, status: int = 200, **headers: str) -> None:
        """A whole answer; ``Content_Type`` is ``Content-Type``."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(settings: Any) -> Iterator[Any]:
    """A real server on loopback, which the operator's setting lets plugins reach as ``localhost``."""
    Handler.answers, Handler.seen = {}, []
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.origin = f"localhost:{made.server_port}"  # type: ignore[attr-defined]
    settings.SANDBOX_LOOPBACK_HOSTS = (made.origin,)  # type: ignore[attr-defined]
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def untrusted(tmp_path: Path, settings: Any) -> Iterator[str]:
    """``host:port`` of a server whose certificate nobody trusts, which takes one connection."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            context.wrap_socket(connection, server_side=True).close()
        except OSError:
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    origin = f"localhost:{listener.getsockname()[1]}"
    settings.SANDBOX_LOOPBACK_HOSTS = (origin,)
    yield origin
    thread.join()
    listener.close()


def grants(*names: str, **more: Any) -> dict[str, Any]:
    """A grant for these hosts."""
    return {"http": {"reason": "t", "hosts": list(names), **more}}


def fetch(server: Any, path: str, init: Any = None, *, grant: Any = None, **session: Any) -> Any:
    """One fetch through a new session."""
    made = make(grant or grants(f"http://{server.origin}", callsPerInvocation=50), **session)
    return ask(made, "http", "fetch", f"http://{server.origin}{path}", *([init] if init else []))


HEAD = b"HTTP/1.1 200 OK\r\n"


def raw(server: Any, *pieces: bytes, pause: float = 0.0) -> Answer:
    """An answer byte for byte, with a pause after each piece, until the other side goes."""

    def answer(handler: Handler) -> None:
        try:
            for piece in pieces:
                handler.wfile.write(piece)
                handler.wfile.flush()
                time.sleep(pause)
        except OSError:
            pass

    return answer


def resolver(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Answer look-ups in turn; gives the list of names asked for."""
    asked: list[str] = []

    def look_up(host: str, port: int, **kwargs: Any) -> Any:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(egress.socket, "getaddrinfo", look_up)
    return asked
