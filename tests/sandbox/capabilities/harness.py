"""A session with its calls in short: ``ask(session, "kv", "get", "a")``."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sandbox.call import Call
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.capabilities.session import Session
from sandbox.limits import Limits

NOW = 1_760_000_000_000
KV = {"kv": {"reason": "test"}}


def make(
    grants: Mapping[str, Any] = KV,
    *,
    backend: Any = None,
    limits: Limits | None = None,
    seconds: float = 5.0,
    plugin: str = "one",
    now_ms: int = NOW,
    **call: Any,
) -> Session:
    """A session of a call at ``NOW``."""
    return Session(
        Call(id=call.pop("id", "inv_1"), plugin=plugin, version="1.0.0", hook="h", now_ms=now_ms, seed=7, **call),
        grants,
        limits or Limits(),
        deadline=time.monotonic() + seconds,
        backend=MemoryBackend() if backend is None else backend,
    )


def ask(session: Session, family: str, op: str, *args: Any) -> Any:
    """The value of a host call; a fault is raised."""
    answer = json.loads(session.dispatch(family, json.dumps({"op": op, "args": list(args)}).encode()))
    if "error" in answer:
        raise HostFault(answer["code"], answer["error"])
    return answer["value"]


class HostFault(Exception):
    """What a guest would catch."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(f"{code}: {message}")


def code_of(session: Session, family: str, op: str, *args: Any) -> str:
    """The code a host call is refused with; empty when it is not."""
    try:
        ask(session, family, op, *args)
    except HostFault as fault:
        return fault.code
    return ""


@contextlib.contextmanager
def reachable(handler: type[http.server.BaseHTTPRequestHandler], settings: Any, media: Path) -> Iterator[str]:
    """A server that plugins may reach, and a folder for their blobs; the server's URL."""
    server = http.server.HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    settings.MEDIA_ROOT = media
    settings.SANDBOX_LOOPBACK_HOSTS = (f"localhost:{server.server_port}",)
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
