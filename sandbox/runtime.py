"""What one process keeps to run plugins: an engine, its ticker, its slots and the programs it used lately.

Made at the first call and not before, because a forked worker must have its own: threads and locks of the parent do not
exist in a child. At a fork everything here is dropped and made again when it is needed (a few milliseconds).
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import sys
import threading
from collections import OrderedDict
from types import ModuleType
from typing import Any

import wasmtime
from django.conf import settings

from sandbox import abi, compiler, selftest
from sandbox.abi import Stop
from sandbox.artifact import Artifact
from sandbox.engine import Profile
from sandbox.outcome import OutcomeStatus
from sandbox.ticker import Ticker

logger = logging.getLogger("sandbox.runtime")

#: Programs kept loaded; the least recently used is dropped.
MOST_PROGRAMS = 256


class Runtime:
    """An engine and everything that belongs to it. Modules and stores of two runtimes are never mixed."""

    def __init__(self, profile: Profile, way: ModuleType, *, slots: int) -> None:
        self.profile = profile
        self.way = way
        made = way.make_engine(profile, slots=slots)
        # A trap is a signal that the engine's handlers catch. Compared at every call, see guard().
        self._signals = faulthandler.is_enabled()
        self.machine = way.Machine(made, abi.families())
        self.ticker = Ticker(self.machine.advance)
        self.slots = threading.BoundedSemaphore(slots)
        self._programs: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._javascript: wasmtime.Module | None = None

    @property
    def engine(self) -> wasmtime.Engine:
        """The wasmtime engine."""
        found: wasmtime.Engine = self.machine.engine
        return found

    def program(self, artifact: Artifact) -> Any:
        """The plugin, ready to be called.

        Raises:
            ArtifactNotFound, CompileLimit: it is not on this host, or cannot be compiled any more.
        """
        program = self._programs.get(artifact.digest)
        if program is not None:
            # Dropped by another thread this moment, it still runs.
            with contextlib.suppress(KeyError):
                self._programs.move_to_end(artifact.digest)
            return program
        code = compiler.plugin_code(artifact, self.profile)
        over = self.javascript() if artifact.kind == "javascript" else None
        module = wasmtime.Module.deserialize(self.engine, code)
        program = self.machine.load(module, over=over)
        with self._lock:
            self._programs[artifact.digest] = program
            if len(self._programs) > MOST_PROGRAMS:
                self._programs.popitem(last=False)
        return program

    def javascript(self) -> wasmtime.Module:
        """The JavaScript engine's code, shared by all plugins in JavaScript."""
        if self._javascript is None:
            code = compiler.engine_code(self.profile)
            with self._lock:
                if self._javascript is None:
                    self._javascript = wasmtime.Module.deserialize(self.engine, code)
        return self._javascript

    def guard(self) -> None:
        """Refuse to run where a plugin's call could end the process.

        ``faulthandler`` replaces the engine's signal handlers when it is switched after the engine was made. Switched
        on, it can be switched off again, which restores them; switched off, nothing can be restored. The hardened
        profile uses no signals and does not care.

        Raises:
            Stop: nothing may run in this process any more.
        """
        if "gevent.monkey" in sys.modules or "eventlet.patcher" in sys.modules:
            _refuse_green_threads()
        if faulthandler.is_enabled() == self._signals or self.profile.hardened:
            return
        if not self._signals:
            faulthandler.disable()
            logger.warning("faulthandler was enabled after the sandbox's engine was made; it was disabled again")
            return
        raise Stop(
            OutcomeStatus.HOST_ERROR,
            "host_error",
            "Plugins cannot run in this process.",
            detail="faulthandler was disabled after the sandbox's engine was made: a trap would end the process. "
            "Restart it, or set ZELAVIS_SANDBOX_HARDENED=true.",
        )


#: By whether instructions are counted; the other half of the profile is the process's own.
_runtimes: dict[bool, Runtime] = {}
_lock = threading.Lock()
#: Runtimes of the parent process are kept, not destroyed: their memory is shared with it and their locks may be held.
_inherited: list[Runtime] = []


def runtime(*, fuel: bool = False) -> Runtime:
    """This process's runtime, made when it is first asked for."""
    found = _runtimes.get(fuel)
    if found is None:
        with _lock:
            found = _runtimes.get(fuel)
            if found is None:
                profile = Profile(hardened=settings.ENVIRONMENT.sandbox_hardened, fuel=fuel)
                found = Runtime(profile, way(), slots=settings.SANDBOX_SLOTS)
                _runtimes[fuel] = found
    return found


#: What gevent and eventlet replace, by their own names, and a host call may wait in.
_WAITS = ("thread", "threading", "socket", "ssl", "select", "time", "queue")


def _refuse_green_threads() -> None:
    """gevent and eventlet switch stacks inside a host call, which ends the process with a segmentation fault.

    Raises:
        Stop: one of them has replaced something of this process that waits.
    """
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    replaced = [name for name in _WAITS if gevent is not None and gevent.is_module_patched(name)]
    if eventlet is not None:
        replaced += [name for name in _WAITS if eventlet.is_monkey_patched(name)]
    if replaced:
        raise Stop(
            OutcomeStatus.HOST_ERROR,
            "host_error",
            "Plugins cannot run in this process.",
            detail=f"gevent or eventlet has replaced {', '.join(replaced)}: a switch inside a host call would end the "
            "process. Use processes (prefork) or real threads.",
        )


def way() -> ModuleType:
    """``sandbox.fast`` where its self-test passes in a child process, ``sandbox.portable`` elsewhere."""
    verdict = selftest.verdict()
    if verdict.passed:
        from sandbox import fast

        return fast
    from sandbox import portable

    logger.warning("plugins run by the slower public interface of wasmtime", extra={"reason": verdict.reason})
    return portable


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _inherited.extend(_runtimes.values())
    _runtimes.clear()
    compiler.forget()


os.register_at_fork(after_in_child=_after_fork)


def reset() -> None:
    """Drop this process's runtimes; for tests and benchmarks that compare profiles."""
    _runtimes.clear()
    compiler.forget()


__all__ = ["Runtime", "reset", "runtime", "way"]
