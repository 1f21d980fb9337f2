"""Our rows of ``isolates``: this process has Django set up on an empty SQLite and runs the standard job.

    python -m tests.benchmarks.isolates_ours CALLS SECONDS PART        (ZELAVIS_DATA_DIR, ZELAVIS_DATABASE_URL)

"bare" is ``sandbox.host.execute`` with a memory backend and no ledger; "policy and ledger" is what a fired hook costs:
grants, the database backend with its commit, and a ledger row. "no policy" is what is left of a bare call without the
session: the same C calls, the envelope, the answer, and host calls that check and record nothing, as the peers' do.
Parts: ``bare``, ``hardened``, ``database``, ``plugins``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from tests.benchmarks import harness, peers
from tests.benchmarks.harness import Row, emit, measured, progress, resident_mb
from tests.benchmarks.peers import work

GRANTS: dict[str, dict[str, Any]] = {
    "kv": {"reason": "counts", "callsPerInvocation": 10, "callsPerHour": 1_000_000_000, "bytes": 65536}
}
HOOK = "content:afterSave"


def rows_in_child(calls: int, seconds: float, part: str, **variables: str) -> list[Row]:
    """Run a part of this file in a process of its own; the rows it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZELAVIS_", "DJANGO_"))}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.isolates_ours", str(calls), str(seconds), part],
            cwd=harness.ROOT,
            env={**kept, "ZELAVIS_DATA_DIR": folder, **variables},
            stdout=subprocess.PIPE,
            text=True,
            timeout=600,
        )
    if done.returncode:
        raise peers.Missing("the sandbox did not run; its message stands above")
    return harness.rows_of(done.stdout)


def artifacts() -> dict[str, Any]:
    """The standard job in each language, deployed."""
    from sandbox import compiler

    source = (peers.GUESTS / "standard.mjs").read_bytes()
    made = {"JavaScript": compiler.deploy(source, kind="javascript", grants=GRANTS)}
    for language, name in (("C", "standard.c"), ("AssemblyScript", "standard.ts"), ("tiny", "tiny.wat")):
        made[language] = compiler.deploy(peers.guest(name).read_bytes(), kind="wasm", grants=GRANTS)
    return made


def caller(artifact: Any, *, backend: Any, record: bool, hook: str = HOOK, check: bool = True) -> Callable[[], Any]:
    """One call with an id of its own, as a fired hook makes it."""
    import itertools
    import time

    from sandbox.call import Call
    from sandbox.host import execute
    from sandbox.limits import Limits

    # On a busy machine a call can wait longer than its usual deadline; this measures, it does not judge.
    limits = Limits(deadline_ms=5000)

    number = itertools.count()
    prefix = f"inv_bench{id(artifact):x}{os.urandom(4).hex()}"

    def call() -> Any:
        made = Call(
            id=f"{prefix}{next(number):08d}",
            plugin="benchmark",
            version="1.0.0",
            hook=hook,
            event=work.EVENT,
            now_ms=int(time.time() * 1000),
            seed=12345,
        )
        outcome = execute(artifact, made, grants=GRANTS, limits=limits, backend=backend, record=record)
        assert outcome.status.value == "ok", (outcome.status, outcome.error, outcome.operator_detail)
        return outcome.result

    if check:
        work.check(call())
    return call


def two_hundred() -> Row:
    """200 plugins deployed, 5 of them declare the hook: 5 stores a fire, counted, and what the other 195 occupy."""
    from sandbox import compiler, runtime
    from sandbox.capabilities.backends.memory import MemoryBackend

    # One before, so that what the compiler itself needs is not counted as the plugins'.
    compiler.deploy(b"export default { hooks: { 'user:created': () => null } };", kind="javascript", grants=GRANTS)
    before = resident_mb()
    plugins = []
    for number in range(200):
        hook = HOOK if number < 5 else "user:created"
        body = f"await ctx.kv.set('n', {number}); return {number};"
        text = f"export default {{ hooks: {{ '{hook}': async (event, ctx) => {{ {body} }} }} }};"
        plugins.append(compiler.deploy(text.encode(), kind="javascript", grants=GRANTS))
    deployed = resident_mb()
    listening = [artifact for artifact in plugins if HOOK in (artifact.hooks or ())]
    assert len(listening) == 5, len(listening)
    backend = MemoryBackend()
    calls = [caller(artifact, backend=backend, record=False, check=False) for artifact in listening]

    def fire() -> None:
        for call in calls:
            call()

    machine = runtime.runtime().machine
    fire()
    opened = machine.opened
    fire()
    assert machine.opened - opened == 5, machine.opened - opened
    row = measured("200 plugins deployed, a fire reaches 5", fire, count=400, seconds=1, fresh="yes", two=False)
    row.memory_before, row.memory_after = deployed, resident_mb()
    row.note = (
        f"resident for each idle plugin: {max(0.0, deployed - before) * 1024 / 200:.0f} kB, none of it wasm memory"
    )
    return row


def without_policy(artifact: Any) -> Callable[[], Any]:
    """A bare call without the session: envelope, store, answer; its host calls are those of the peers."""
    from sandbox import abi, runtime, ticker
    from sandbox.call import Call

    here = runtime.runtime()
    program = here.program(artifact)

    def answer(family: str, request: bytes) -> bytes:
        return work.kv(request)

    def call() -> Any:
        made = Call(id="inv_floor", plugin="benchmark", version="1.0.0", hook=HOOK, event=work.EVENT)
        run = abi.Invocation(
            answer, ticks=ticker.ticks(5000), memory_limit=16 << 20, table_limit=10_000, output_limit=65_536
        )
        with here.ticker:
            return abi.answer(program.run(abi.envelope(made), run), depth=64)

    return call


def bare(count: int, seconds: float, *, title: str = "Zelavis {}, bare") -> None:
    """Every language with stores in memory."""
    from sandbox.capabilities.backends.memory import MemoryBackend

    made = artifacts()
    for language, artifact in made.items():
        progress(title.format(language))
        call = caller(artifact, backend=MemoryBackend(), record=False, check=language != "tiny")
        emit(measured(title.format(language), call, count=count, seconds=seconds, fresh="yes"))
    trivial = caller(made["JavaScript"], backend=MemoryBackend(), record=False, hook="user:created", check=False)
    name = title.format("JavaScript") + ", a hook that returns 1"
    emit(measured(name, trivial, count=count, seconds=seconds, fresh="yes"))
    if "bare" in title:
        row = measured(
            "Zelavis tiny, no policy", without_policy(made["tiny"]), count=count, seconds=seconds, fresh="yes"
        )
        row.note = "the store cycle with envelope and answer"
        emit(row)


def database(count: int, seconds: float) -> None:
    """Policy and ledger, on the database that the environment names."""
    from django.conf import settings
    from django.db import connection

    made = artifacts()
    shown = {"sqlite": "SQLite", "postgresql": "PostgreSQL, fsync on"}[connection.vendor]
    for language in made if connection.vendor == "sqlite" else ("JavaScript", "C"):
        progress(f"{language} with policy and ledger, {shown}")
        call = caller(made[language], backend=None, record=True, check=language != "tiny")
        row = measured(f"Zelavis {language}, policy and ledger", call, count=count // 4, seconds=seconds, fresh="yes")
        row.note = shown
        emit(row)
    settings.SANDBOX_LEDGER = "batched"
    call = caller(made["JavaScript"], backend=None, record=True)
    row = measured("Zelavis JavaScript, policy and ledger", call, count=count // 4, seconds=seconds, fresh="yes")
    row.note = f"{shown}; ledger in batches"
    emit(row)


def main() -> None:
    count, seconds, part = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    from tests.benchmarks.runs_ours import set_up

    set_up()
    from django.conf import settings

    from sandbox import runtime

    settings.DEBUG = False
    progress(f"ours runs by {runtime.way().__name__}")
    if part == "bare":
        bare(count, seconds)
    elif part == "hardened":
        bare(count, seconds, title="Zelavis {}, hardened")
    elif part == "database":
        database(count, seconds)
    else:
        emit(two_hundred())


if __name__ == "__main__":
    main()
