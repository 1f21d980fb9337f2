"""A session with its calls in short: ``ask(session, "kv", "get", "a")``."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
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
