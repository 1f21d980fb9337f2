"""Author commands against what is no marketplace, no address, no token and no place to write."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.marketplace.authoring.test_commands import plugin

_JSON = ("--json", "--token", "zlv_t")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A new plugin."""
    assert plugin("new", "page-counter", "--directory", tmp_path)[0] == 0
    return tmp_path / "page-counter"


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>Welcome</html>"), (302, b""), (200, b"\xff\xfe"), (200, b"[]"), (200, b'{"ok": true}')],
)
def test_a_server_of_another_kind_is_told(made: Path, status: int, body: bytes) -> None:
    """A page, a redirect or other JSON in place of a marketplace's answer is a plain message and exit code 2."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        code, out, err = plugin("publish", made, "--server", f"http://127.0.0.1:{server.server_port}", *_JSON)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    assert (code, f"answered {status}" in json.loads(out)["error"]) == (2, True)
    assert "Traceback" not in err


@pytest.mark.parametrize("server", ["http://[::1", "http://127.0.0.1:port", "http://\x01"])
def test_an_address_that_is_none_is_told(made: Path, server: str) -> None:
    """An address that cannot be one is a plain message and exit code 2, at once."""
    code, out, _ = plugin("publish", made, "--server", server, *_JSON)
    assert (code, "no address" in json.loads(out)["error"]) == (2, True)


def test_a_token_that_cannot_be_one_is_told(made: Path) -> None:
    """A token with letters that no header holds is not sent."""
    code, out, _ = plugin("publish", made, "--server", "http://127.0.0.1:9", "--json", "--token", "tökén")
    assert (code, "token" in json.loads(out)["error"]) == (2, True)


def test_a_place_that_cannot_be_written_is_told(made: Path, tmp_path: Path) -> None:
    """A bundle that cannot be written where it should go is a plain message and exit code 2."""
    code, out, _ = plugin("pack", made, "--output", (tmp_path / "none" / "x.zip"), "--json")
    assert (code, "No such file" in json.loads(out)["error"]) == (2, True)
