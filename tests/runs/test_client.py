"""The HTTP client of dispatchers: sockets of both kinds, one deadline, nothing followed, nothing unbounded."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from runs.dispatchers.client import Client, ResponseTooLarge

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@contextmanager
def server(talk: Callable[[socket.socket, int], None], path: Path | None = None) -> Iterator[str]:
    """A server that talks to each connection; its base URL."""
    listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    listener.bind(str(path) if path else ("127.0.0.1", 0))
    listener.listen()
    listener.settimeout(5)
    connections: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            number = len(connections)
            threading.Thread(target=_talk, args=(talk, connection, number), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"unix:{path}" if path else f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in connections:
            connection.close()


def _talk(talk: Callable[[socket.socket, int], None], connection: socket.socket, number: int) -> None:
    with suppress(OSError):
        talk(connection, number)


def answer(connection: socket.socket, number: int) -> None:
    """200 to everything."""
    while connection.recv(65536):
        connection.sendall(OK)


def ask(client: Client, *, seconds: float = 2, max_bytes: int = 100) -> tuple[int, bytes]:
    """One exchange."""
    got = client.post("/x", b"{}", {}, seconds=seconds, max_bytes=max_bytes)
    return got.status, got.body


def test_a_unix_socket_serves_a_sibling(tmp_path: Path) -> None:
    """A service on this machine is reached by its socket, again and again over one connection."""
    with server(answer, tmp_path / "s") as base:
        client = Client(base)
        assert [ask(client) for _ in range(3)] == [(200, b"ok")] * 3
        client.close()


def test_dripping_is_cut() -> None:
    """A server that sends a byte now and then is cut when the time for the whole exchange is over."""

    def drip(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with server(drip) as base:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            ask(Client(base), seconds=0.4)
        assert time.monotonic() - began < 1


def test_a_large_answer_is_not_read_to_its_end() -> None:
    """More than the allowed bytes are refused, whatever the length header says."""

    def flood(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)

    with server(flood) as base, pytest.raises(ResponseTooLarge):
        ask(Client(base))


def test_redirects_are_answers() -> None:
    """A redirect is given back as it is: the signature was for this tenant only."""

    def redirect(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")

    with server(redirect) as base:
        client = Client(base)
        assert ask(client) == (302, b"")
        client.close()


def test_a_closed_idle_connection_is_replaced_once() -> None:
    """When a kept connection was closed by the server the request goes over a new one; a server that is down fails."""

    def once(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        connection.sendall(OK)
        connection.close()

    with server(once) as base:
        client = Client(base)
        assert ask(client) == (200, b"ok")
        time.sleep(0.05)
        assert ask(client) == (200, b"ok")
        client.close()
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(client)


def test_what_may_have_been_done_is_not_sent_again() -> None:
    """A server that takes a request on a kept connection and hangs up without an answer is not asked a second time."""
    asked = []

    def second_dies(connection: socket.socket, number: int) -> None:
        for answered in (True, False):
            asked.append(connection.recv(65536))
            if not answered:
                connection.shutdown(socket.SHUT_RDWR)
                return
            connection.sendall(OK)

    with server(second_dies) as base:
        client = Client(base)
        assert ask(client) == (200, b"ok")
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(client)
        assert len(asked) == 2
        client.close()
