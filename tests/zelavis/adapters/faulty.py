"""A plugin worker that fails on purpose: ``python -m tests.zelavis.adapters.faulty PORT KEY``.

The first segment of the path names the fault. Answers are signed with the right key unless the fault is the signature,
so that a test proves the one thing it names.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from zelavis import signing

Send = Callable[..., None]
KEY = ""
#: Requests seen, by webhook-id, for faults that depend on it.
seen: dict[str, int] = {}
first_answer: dict[str, str] = {}
lock = threading.Lock()


class Handler(socketserver.BaseRequestHandler):
    """Reads one request after the other, answers with raw bytes."""

    request: socket.socket

    def handle(self) -> None:
        self.request.settimeout(30)
        buffer = b""
        with contextlib.suppress(OSError):
            while True:
                while b"\r\n\r\n" not in buffer:
                    part = self.request.recv(65536)
                    if not part:
                        return
                    buffer += part
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
                length = int(headers.get("content-length", "0"))
                while len(buffer) < length:
                    buffer += self.request.recv(65536)
                self.body, buffer = buffer[:length], buffer[length:]
                self.headers = headers
                self.id = headers.get("webhook-id", "")
                with lock:
                    seen[self.id] = seen.get(self.id, 0) + 1
                path = lines[0].split(" ")[1]
                fault = path.split("/")[1]
                if getattr(self, "do_" + fault.replace("-", "_"), None) is None:
                    self.answer(404, b"{}")
                elif getattr(self, "do_" + fault.replace("-", "_"))() is False:
                    return

    def signed(self, body: bytes, **changes: Any) -> dict[str, str]:
        wanted: dict[str, Any] = {"key": KEY, "message_id": self.id, **changes}
        return signing.sign(body, **wanted)

    def answer(
        self, status: int, body: bytes, *, media: str = "application/json", sign: bool = True, **headers: str
    ) -> None:
        all_headers = {
            "content-length": str(len(body)),
            **({"content-type": media} if media else {}),
            **(self.signed(body) if sign and self.id else {}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{n}: {v}\r\n" for n, v in all_headers.items()) + "\r\n"
        self.request.sendall(head.encode("latin-1") + body)

    def active(self, **more: Any) -> bytes:
        return json.dumps({"status": "active", **more}).encode()

    # --- answers that are answers ---
    def do_good(self) -> None:
        self.answer(200, self.active())

    def do_good_message(self) -> None:
        self.answer(200, self.active(message="Accepted."), media="application/json; charset=utf-8")

    def do_wait(self) -> None:
        self.answer(200, b'{"status":"pending","message":"Deployment still propagating."}')

    # --- the body of the request is the answer ---
    def do_say(self) -> None:
        """Answers with what the specifier holds, byte for byte (latin-1 in, bytes out)."""
        self.answer(200, json.loads(self.body).get("specifier", "").encode("latin-1"))

    def do_call(self) -> None:
        document = json.loads(self.body)
        self.answer(200, json.dumps({"id": document["id"], "status": "ok", "result": {"n": 1}}).encode())

    def do_other_call(self) -> None:
        self.answer(200, b'{"id":"inv_other","status":"ok","result":1}')

    # --- wrong shapes ---
    def do_odd_status(self) -> None:
        asked = json.loads(self.body)
        self.answer(200, json.dumps({"id": asked["id"], "status": ["ok"], "result": None, "error": None}).encode())

    def do_far_time(self) -> None:
        """Signed for a time that has more digits than Python reads as a number."""
        body = self.active()
        self.answer(200, body, sign=False, **{**self.signed(body), "webhook-timestamp": "9" * 5000})

    def do_status(self) -> None:
        self.answer(int(json.loads(self.body)["specifier"]), b'{"status":"active","message":"said so"}')

    def do_redirect(self) -> None:
        self.answer(307, b"", location="/good/__zelavis/plugin/activate")

    def do_no_type(self) -> None:
        self.answer(200, self.active(), media="")

    def do_html(self) -> None:
        self.answer(200, b"<p>active</p>", media="text/html")

    def do_html_type(self) -> None:
        self.answer(200, self.active(), media="text/html")

    def do_gzip(self) -> None:
        self.answer(200, self.active(), content_encoding="gzip")

    def do_twice(self) -> None:
        self.answer(200, b'{"status":"pending","status":"active"}')

    def do_huge(self) -> None:
        self.answer(200, b'{"status":"active","message":"' + b"x" * (3 << 20) + b'"}')

    def do_truncated(self) -> bool:
        body = self.active()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body) + 10}\r\n"
        head += "".join(f"{n}: {v}\r\n" for n, v in self.signed(body).items()) + "\r\n"
        self.request.sendall(head.encode() + body)
        return False

    def do_chunks_broken(self) -> bool:
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        self.request.sendall(head.encode() + b"ffff\r\n" + self.active())
        return False

    def do_not_http(self) -> bool:
        self.request.sendall(b"220 mail.example.com ESMTP\r\n")
        return False

    def do_huge_header(self) -> bool:
        self.request.sendall(b"HTTP/1.1 200 OK\r\nx: " + b"y" * (1 << 20))
        return False

    # --- time ---
    def do_silent(self) -> bool:
        time.sleep(20)
        return False

    def do_slow(self) -> bool:
        """A byte now and then: no single read ever waits long."""
        body = self.active(message="x" * 500)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        head += "".join(f"{n}: {v}\r\n" for n, v in self.signed(body).items()) + "\r\n"
        for byte in (head.encode() + body)[:200]:
            self.request.sendall(bytes([byte]))
            time.sleep(0.05)
        return False

    def do_reset(self) -> bool:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()
        return False

    def do_half_closed(self) -> bool:
        """Hears the request, says that nothing will follow, and keeps the other direction open."""
        self.request.shutdown(socket.SHUT_WR)
        time.sleep(2)
        return False

    def do_half_answered(self) -> bool:
        """The same after the head of a good answer."""
        body = self.active()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.request.sendall((head + "".join(f"{n}: {v}\r\n" for n, v in self.signed(body).items()) + "\r\n").encode())
        return self.do_half_closed()

    def do_reset_once(self) -> bool | None:
        """The first request breaks, the same one again is answered, with what was told of its idempotency."""
        if seen[self.id] == 1:
            first_answer[self.id] = self.headers["idempotency-key"]
            return self.do_reset()
        same = first_answer[self.id] == self.headers["idempotency-key"] == self.id
        self.answer(200, self.active(message=f"same key: {same}"))
        return None

    # --- signatures ---
    def do_unsigned(self) -> None:
        self.answer(200, self.active(), sign=False)

    def do_forged(self) -> None:
        body = self.active()
        self.answer(200, body, sign=False, **self.signed(body, key="another key"))

    def do_changed(self) -> None:
        """The signature of "pending" under "active"."""
        self.answer(200, self.active(), sign=False, **self.signed(b'{"status":"pending"}'))

    def do_stale(self) -> None:
        body = self.active()
        self.answer(200, body, sign=False, **self.signed(body, timestamp=int(time.time()) - 301))

    def do_replayed(self) -> None:
        """A good answer to another request, sent again."""
        body = self.active()
        self.answer(200, body, sign=False, **self.signed(body, message_id="act_another"))

    def do_strict(self) -> None:
        """Accepts only what is signed with the key, as a worker must."""
        try:
            signing.verify(self.body, self.headers, keys=[KEY])
        except signing.BadSignature as error:
            self.answer(401, json.dumps({"message": error.message}).encode(), sign=False)
        else:
            self.answer(200, self.active(message=self.body.decode()))


class Server(socketserver.ThreadingTCPServer):
    """One thread a connection."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    KEY = sys.argv[2]
    with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
