"""``plugin run`` and ``plugin bench``: the real sandbox, with stores in memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from marketplace.authoring.project import Project
from sandbox import host
from sandbox.artifact import Artifact
from sandbox.call import Call
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.outcome import Outcome
from zelavis import identifiers

_WARM_UP = 20


def call_of(project: Project, hook: str, event: Any, *, settings: dict[str, Any] | None = None) -> Call:
    """A call as the core would make it."""
    return Call(
        id=identifiers.make("inv"),
        plugin=project.manifest.name,
        version=project.manifest.version,
        hook=hook,
        event=event,
        settings={**project.settings, **(settings or {})},
        actor="author",
    )


def run(
    project: Project,
    artifact: Artifact,
    hook: str,
    event: Any,
    *,
    backend: MemoryBackend,
    settings: dict[str, Any] | None = None,
) -> Outcome:
    """One call; what it stored stays in ``backend``."""
    return host.execute(
        artifact,
        call_of(project, hook, event, settings=settings),
        grants=project.grants,
        limits=project.limits,
        backend=backend,
        record=False,
    )


def as_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as the commands print it."""
    error = outcome.error
    return {
        "status": outcome.status.value,
        "result": outcome.result,
        "error": {"name": error.name, "message": error.message, "stack": error.stack, "code": error.code}
        if error
        else None,
        "durationMs": round(outcome.duration_ms, 3),
        "memoryBytes": outcome.memory_bytes,
        "hostCalls": outcome.host_calls,
        "refusals": [
            {"capability": one.capability, "op": one.op, "code": one.code, "message": one.message}
            for one in outcome.refusals
        ],
        "logs": [{"level": line.level, "message": line.message} for line in outcome.logs],
    }


def warm(project: Project, artifact: Artifact) -> None:
    """Start the engine with a call to no hook, so that the first real call is timed like the next ones."""
    limits = replace(project.limits, deadline_ms=30_000)
    call = call_of(project, "none", None)
    host.execute(artifact, call, grants={}, limits=limits, backend=MemoryBackend(), record=False)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a bench measured. Times are milliseconds, memory is bytes."""

    calls: int
    failed: int
    p50: float
    p99: float
    per_second: float
    guest_memory: int
    process_growth: int

    def as_json(self) -> dict[str, Any]:
        """As the command prints it."""
        return {
            "calls": self.calls,
            "failed": self.failed,
            "p50Ms": round(self.p50, 4),
            "p99Ms": round(self.p99, 4),
            "callsPerSecond": round(self.per_second),
            "guestMemoryBytes": self.guest_memory,
            "processGrowthBytes": self.process_growth,
        }


def bench(
    project: Project, artifact: Artifact, hook: str, event: Any, *, calls: int, tick: Callable[[int], None]
) -> Figures:
    """The same call many times, each in a store of its own; ``tick`` hears how many are done."""
    backend = MemoryBackend()
    warm(project, artifact)
    for _ in range(min(_WARM_UP, calls)):
        run(project, artifact, hook, event, backend=backend)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times, failed, memory = [], 0, 0
    began = time.perf_counter()
    for number in range(calls):
        started = time.perf_counter()
        outcome = run(project, artifact, hook, event, backend=backend)
        times.append((time.perf_counter() - started) * 1000)
        failed += not outcome.ok
        memory = max(memory, outcome.memory_bytes)
        tick(number + 1)
    seconds = time.perf_counter() - began
    times.sort()
    return Figures(
        calls=calls,
        failed=failed,
        p50=times[len(times) // 2],
        p99=times[min(len(times) - 1, len(times) * 99 // 100)],
        per_second=calls / seconds,
        guest_memory=memory,
        process_growth=(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024,
    )
