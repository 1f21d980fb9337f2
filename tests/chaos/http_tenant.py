"""A step handler as a process of its own, with faults: what it did it writes into the independent log.

    python -m tests.chaos.http_tenant PORT SEED SHARE       (CHAOS_LOG)

``SHARE`` of the requests get one of the faults, before or after the steps ran.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.chaos.tenant.effects import effect

FAULTS = ("500", "502", "429", "garbage", "wrong", "cut", "hang")
_lock = threading.Lock()


def answer(request: dict[str, Any], fence: int) -> dict[str, Any]:
    """Run what the journal does not have yet, as an SDK does. ``parks``: it sleeps after each step."""
    steps = dict(request["journal"]["stepResults"])
    given = request["input"]
    for number in range(given["steps"]):
        name = f"step-{number}"
        if name not in steps:
            seen = [entry["output"] for entry in steps.values()]
            value = effect(request["runId"], name, fence, seen, seconds=given.get("seconds", 0.0))
            now = int(time.time() * 1000)
            steps[name] = {"attempt": 1, "status": "ok", "output": value, "startedAt": now, "finishedAt": now}
        if given.get("parks") and f"sleep:{number}" not in request["journal"]["waitpointsResolved"]:
            wait = {"clientWaitpointId": f"sleep:{number}", "kind": "DATETIME", "meta": {"durationMs": 5}}
            journal = {**request["journal"], "stepResults": steps}
            return {"status": "waiting", "waitpoints": [wait], "journal": journal, "metadataUpdates": []}
    output = {"steps": [entry["output"] for entry in steps.values()], "events": [], "child": None}
    journal = {**request["journal"], "stepResults": steps}
    return {"status": "completed", "output": output, "journal": journal, "metadataUpdates": []}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    dice = random.Random()
    share = 0.0

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with _lock:
            fault = self.dice.choice(FAULTS) if self.dice.random() < self.share else ""
            early = self.dice.random() < 0.5
        if fault and early:
            self._fault(fault)
            return
        body = answer(request, int(self.headers["x-zelavis-fence"]))
        if fault:
            self._fault(fault)
            return
        self._send(200, json.dumps(body).encode())

    def _fault(self, fault: str) -> None:
        if fault == "cut":
            self.close_connection = True
            self.connection.close()
        elif fault == "hang":
            time.sleep(4)
            self.close_connection = True
        elif fault == "garbage":
            self._send(200, b"<html>a proxy's page</html>")
        elif fault == "wrong":
            self._send(200, b'{"status": "finished", "journal": []}')
        elif fault == "429":
            self._send(429, b"{}", ("retry-after", "1"))
        else:
            self._send(int(fault), b"<html>bad gateway</html>")

    def _send(self, status: int, content: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("content-type", "application/json"), ("content-length", str(len(content)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Many at once; clients may leave."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *arguments: Any) -> None:
        """A client that hung up is no error here."""


if __name__ == "__main__":
    Handler.dice, Handler.share = random.Random(int(sys.argv[2])), float(sys.argv[3])
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
