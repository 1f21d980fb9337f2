"""The independent log: one line for each step's body that began, written by the tenant and by nobody else."""

from __future__ import annotations

import json
import os
import time
import uuid
from typing import Any


def effect(run: str, step: str, fence: int, seen: list[Any], *, seconds: float = 0.0) -> str:
    """Do what a step does: note that it began, and give a value that no other execution gives."""
    value = uuid.uuid4().hex
    line = {
        "run": run,
        "step": step,
        "fence": fence,
        "pid": os.getpid(),
        "at": time.monotonic(),
        "value": value,
        "seen": seen,
    }
    # One write to a file opened for appending: lines of many processes do not mix, and a killed one leaves no half.
    log = os.open(os.environ["CHAOS_LOG"], os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
    try:
        os.write(log, json.dumps(line).encode() + b"\n")
    finally:
        os.close(log)
    if seconds:
        time.sleep(seconds)
    return value
