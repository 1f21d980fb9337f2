"""Does the fast path work here? Asked in a child process, because the wrong answer is a dead process.

The child builds the engine of the fast path, runs a module that answers, one that traps in each way that is a signal,
and one that must be stopped. The verdict is kept, authenticated, for this version, processor and library, so that it
costs a process start once an installation and not once a worker.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from sandbox import cache, engine
from sandbox.engine import Profile

_CHILD = Path(__file__).resolve().parent / "selftest_child.py"
_SECONDS = 60


@dataclass(frozen=True)
class Verdict:
    """Whether the fast path may serve."""

    passed: bool
    #: For the operator, when it may not.
    reason: str = ""


@functools.cache
def verdict() -> Verdict:
    """The verdict for this process."""
    if engine.version() != engine.TESTED_VERSION:
        return Verdict(
            passed=False,
            reason=f"wasmtime {engine.version()} is installed; the fast path is tested on {engine.TESTED_VERSION}.",
        )
    profile = Profile(hardened=settings.ENVIRONMENT.sandbox_hardened)
    name = cache.key("selftest", engine.fingerprint(profile), _library())
    if cache.read(name) is not None:
        return Verdict(passed=True)
    found = run(hardened=profile.hardened)
    if found.passed:
        cache.write(name, {}, b"")
    return found


def run(*, hardened: bool) -> Verdict:
    """Run the self-test now, in a child process."""
    try:
        ended = subprocess.run(  # noqa: S603  our own interpreter on our own script
            [sys.executable, "-I", str(_CHILD), "hardened" if hardened else "plain"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict(passed=False, reason=f"The self-test did not end within {_SECONDS} seconds.")
    if ended.returncode == 0 and ended.stdout.strip() == "passed":
        return Verdict(passed=True)
    lines = ended.stderr.strip().splitlines()
    return Verdict(passed=False, reason=f"The self-test ended with {ended.returncode}: {lines[-1] if lines else ''}")


def _library() -> str:
    """The engine's library as a file: a wheel for another platform, or one exchanged in place, is tested anew."""
    from wasmtime import _ffi

    status = Path(_ffi.filename).stat()
    return f"{status.st_size} {status.st_mtime_ns}"
