"""Connections to workers under prefork servers."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading

from tests.server import ROOT

SCRIPT = """
import os, sys, django
django.setup()
from zelavis.adapters import http
def ask(who):
    reply = http.exchange("GET", sys.argv[1] + who, b"", key="", message_id="m", timeout_ms=10_000, max_bytes=100)
    assert reply.body == who.encode(), reply
ask("/parent")
child = os.fork()
if child == 0:
    ask("/child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
ask("/parent")
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the path, and keeps from which port each came."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, int]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.client_address[1]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *args: object) -> None:
        pass


def test_a_forked_process_asks_over_connections_of_its_own() -> None:
    """A kept connection is kept by the process that made it; two that wrote to one would read each other's answers."""
    Echo.seen = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            subprocess.run(
                [sys.executable, "-c", SCRIPT, f"http://127.0.0.1:{server.server_port}"],
                cwd=ROOT,
                env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
                check=True,
                timeout=60,
            )
        finally:
            server.shutdown()
    (first, kept), (other, own), (again, still) = Echo.seen
    assert (first, other, again) == ("/parent", "/child", "/parent")
    assert kept == still
    assert own != kept
