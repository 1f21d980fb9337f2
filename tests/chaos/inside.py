"""Runs a program's module as it is, on a host whose clock can jump.

    python -m tests.chaos.inside MODULE ARGUMENT…          (CHAOS_CLOCK: a file with the jump in seconds)

The wall clock of the process is moved by what the file says, and that file may change while it runs. The monotonic
clock is not: a jump of the wall clock does not touch it on a real host either.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import time
from pathlib import Path


def jump(path: Path) -> None:
    """Let the wall clock of this process follow the file."""
    real, real_ns, monotonic = time.time, time.time_ns, time.monotonic
    known = [float("-inf"), 0.0]

    def offset() -> float:
        if monotonic() - known[0] > 0.1:
            known[0] = monotonic()
            with contextlib.suppress(OSError, ValueError):
                known[1] = float(path.read_text())
        return known[1]

    time.time = lambda: real() + offset()
    time.time_ns = lambda: real_ns() + int(offset() * 1e9)


if __name__ == "__main__":
    if os.environ.get("CHAOS_CLOCK"):
        jump(Path(os.environ["CHAOS_CLOCK"]))
    module, sys.argv = sys.argv[1], sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
