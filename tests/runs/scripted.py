"""A tenant whose answers the test decides: a real HTTP server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[dict[str, Any]], Any]

EMPTY_JOURNAL: dict[str, Any] = {
    "stepResults": {},
    "waitpointsResolved": {},
    "compensationsRun": {},
    "metadataState": {},
    "streamsCompleted": {},
}


def journal(request: dict[str, Any], **steps: Any) -> dict[str, Any]:
    """The request's journal with more steps done."""
    done = {
        name: {"attempt": 1, "status": "ok", "output": value, "startedAt": 1, "finishedAt": 1}
        for name, value in steps.items()
    }
    return {**request["journal"], "stepResults": {**request["journal"]["stepResults"], **done}}


def completed(request: dict[str, Any], output: Any = None, **steps: Any) -> dict[str, Any]:
    """A ``completed`` answer."""
    return {"status": "completed", "output": output, "journal": journal(request, **steps), "metadataUpdates": []}


def waiting(request: dict[str, Any], *waits: dict[str, Any], **steps: Any) -> dict[str, Any]:
    """A ``waiting`` answer."""
    return {"status": "waiting", "waitpoints": list(waits), "journal": journal(request, **steps), "metadataUpdates": []}


def wait(kind: str, key: str, timeout_ms: int | None = None, **meta: Any) -> dict[str, Any]:
    """A waitpoint as a tenant registers it."""
    members = {"EVENT": "eventType", "SIGNAL": "signalName", "MANUAL": "tokenId", "RUN": "childWorkflowId"}
    known = {members[kind]: key.split(":")[1]} if kind in members else {}
    result: dict[str, Any] = {"clientWaitpointId": key, "kind": kind, "meta": {**known, **meta}}
    return result | ({} if timeout_ms is None else {"timeoutMs": timeout_ms})


class Tenant:
    """``handler(request)`` gives a body, or ``(status, headers, bytes)``, or raises to cut the connection."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.handler: Handler = completed
        self.requests: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []


@contextmanager
def serving() -> Iterator[Tenant]:
    """A tenant for the length of a ``with`` block."""

    class Handle(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            request = json.loads(body)
            tenant.requests.append(request)
            tenant.raw.append(body)
            tenant.headers.append({name.lower(): value for name, value in self.headers.items()})
            try:
                answer = tenant.handler(request)
            except ConnectionError:
                self.close_connection = True
                self.connection.close()
                return
            if not isinstance(answer, tuple):
                answer = (200, {}, json.dumps(answer).encode())
            status, headers, content = answer
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handle)
    tenant = Tenant(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield tenant
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
