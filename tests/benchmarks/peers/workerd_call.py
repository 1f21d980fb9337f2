"""workerd over loopback: an empty request, a warm dynamic worker, a fresh dynamic worker (``load()``).

Arguments: calls of the quick rows, calls of the fresh row, seconds of throughput, port, pid of workerd.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
from typing import Any

from tests.benchmarks.harness import emit, measured, resident_mb
from tests.benchmarks.peers import work


def caller(port: int, path: str, text: bytes) -> Any:
    """One kept connection for each thread."""
    local = threading.local()

    def call() -> bytes:
        connection = getattr(local, "connection", None)
        if connection is None:
            connection = local.connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.request("POST", path, text)
        answer = connection.getresponse()
        body: bytes = answer.read()
        assert answer.status == 200, body
        return body

    return call


def main() -> None:
    quick, fresh, seconds, port, pid = (
        int(sys.argv[1]),
        int(sys.argv[2]),
        float(sys.argv[3]),
        int(sys.argv[4]),
        sys.argv[5],
    )
    text = json.dumps(work.EVENT).encode()
    for name, path, count, kind in (
        ("workerd, empty request over loopback", "/nothing", quick, "–"),
        ("workerd, warm dynamic worker", "/warm", quick, "no"),
        ("workerd, fresh dynamic worker (load)", "/", fresh, "yes"),
    ):
        call = caller(port, path, text)
        if path != "/nothing":
            work.check(call())
        before = resident_mb(pid)
        row = measured(name, call, count=count, seconds=seconds, fresh=kind, note="includes loopback HTTP")
        row.memory_before, row.memory_after = before, resident_mb(pid)
        emit(row)


if __name__ == "__main__":
    main()
