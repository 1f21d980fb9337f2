"""Cloudflare as far as it matters here, as a process: the management API of a dispatch namespace, requests recorded.

``python -m tests.zelavis.adapters.cloud PORT FOLDER``. Uploaded scripts land in ``FOLDER/scripts/NAME/``, where
``namespace.mjs`` runs them; every request is a line of ``FOLDER/requests.jsonl``. Files in ``FOLDER/faults/`` make the
next requests fail: ``{"status": 500, "body": …, "headers": {…}}``, taken in the order of their names.
"""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import json
import re
import shutil
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ACCOUNT, NAMESPACE, TOKEN = "acc-0123456789abcdef", "production", "cf-token-that-must-never-show"
folder = Path()
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """``/accounts/:id/workers/dispatch/namespaces/:ns/scripts…`` as documented."""

    protocol_version = "HTTP/1.1"
    # Answers go out whole.
    wbufsize = -1

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_PUT(self) -> None:
        self.api()

    do_GET = do_DELETE = do_PUT

    def api(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        record = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "bytes": len(body),
        }
        with lock, (folder / "requests.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        with lock:
            fault = next(iter(sorted((folder / "faults").glob("*.json"))), None)
            told = json.loads(fault.read_text()) if fault else None
            if fault:
                fault.unlink()
        if told:
            if told.get("reset"):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.answer(told["status"], told.get("body"), told.get("headers", {}))
            return
        parts = urlsplit(self.path)
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            self.fail(403, 10000, "Authentication error")
            return
        found = re.fullmatch(
            r"/accounts/([^/]+)/workers/dispatch/namespaces/([^/]+)/scripts(?:/([a-z0-9_-]{1,63}))?", parts.path
        )
        if not found or found[1] != ACCOUNT:
            self.fail(404, 7003, "Could not route to the path")
        elif found[2] != NAMESPACE:
            self.fail(404, 100119, "workers.api.error.dispatch_namespace_not_found")
        elif self.command == "PUT" and found[3]:
            self.put(found[3], body)
        elif self.command == "GET" and not found[3]:
            self.list(parse_qs(parts.query).get("tags", [""])[0])
        elif self.command == "DELETE" and found[3]:
            self.delete(found[3])
        else:
            self.fail(405, 10405, "Method not allowed")

    def put(self, script: str, body: bytes) -> None:
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        parts = {str(part.get_param("name", header="content-disposition")): part for part in message.iter_parts()}
        if "metadata" not in parts or parts["metadata"].get_content_type() != "application/json":
            self.fail(400, 10020, "Uploaded metadata is missing")
            return
        metadata = json.loads(parts.pop("metadata").get_payload(decode=True))
        if metadata.get("main_module") not in parts or len(metadata.get("tags", [])) > 8:
            self.fail(400, 10021, "No such module as main_module")
            return
        for part in parts.values():
            if part.get_content_type() != "application/javascript+module" or not part.get_filename():
                self.fail(400, 10021, "A module needs a file name and a module's type")
                return
        where = folder / "scripts" / script
        where.mkdir(parents=True, exist_ok=True)
        for name, part in parts.items():
            (where / name).write_bytes(part.get_payload(decode=True))
        (where / "metadata.json").write_text(json.dumps(metadata))
        self.answer(200, envelope({"id": script, "etag": "1"}))

    def list(self, tags: str) -> None:
        tag, _, wanted = tags.partition(":")
        assert wanted == "yes"
        found = [
            {"id": path.parent.name}
            for path in (folder / "scripts").glob("*/metadata.json")
            if tag in json.loads(path.read_text())["tags"]
        ]
        # A platform that lists more than it was asked for must not lead to more being deleted.
        self.answer(200, envelope([*found, {"id": "somebody-elses-script"}, {"script": 1}, None]))

    def delete(self, script: str) -> None:
        where = folder / "scripts" / script
        if not where.exists():
            self.fail(404, 10007, "workers.api.error.script_not_found")
            return
        shutil.rmtree(where)
        self.answer(200, envelope(None))

    def fail(self, status: int, code: int, message: str) -> None:
        self.answer(
            status, {"success": False, "errors": [{"code": code, "message": message}], "messages": [], "result": None}
        )

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(raw)
            self.wfile.flush()


def envelope(result: Any) -> dict[str, Any]:
    return {"success": True, "errors": [], "messages": [], "result": result}


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    (folder / "faults").mkdir()
    (folder / "scripts").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    print("ready", flush=True)
    server.serve_forever()
