"""Hostile matrix B: no call takes more than it may, and what it took is given back."""

from __future__ import annotations

import concurrent.futures
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox import abi, compiler, host, runtime, ticker
from sandbox.abi import Invocation, Stop
from sandbox.artifact import Artifact
from sandbox.call import Call
from sandbox.capabilities.backends.memory import MemoryBackend, MemoryValues
from sandbox.limits import Limits
from sandbox.outcome import OutcomeStatus as S
from tests.sandbox.guests import KINDS, KV, answering, call, javascript, module, trouble, wat


def resident_kib() -> int:
    """Resident memory of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_b01_fuel_is_exact() -> None:
    """Counted instructions are equal from run to run, and an endless loop ends at exactly its fuel."""
    artifact = trouble("javascript")
    used = {call(artifact, "trouble:healthy", limits={"fuel": 50_000_000}).fuel for _ in range(3)}
    assert len(used) == 1
    for kind in ("javascript", "c"):
        stopped = call(trouble(kind), "trouble:loop", limits={"fuel": 1_000_000, "deadline_ms": 5000})
        assert stopped.status is S.FUEL
        assert stopped.fuel is not None
        assert 990_000 <= stopped.fuel <= 1_000_000


def test_b02_epoch_ends_what_fuel_would_not() -> None:
    """With fuel for minutes the wall clock still ends the call."""
    outcome = call(trouble("c"), "trouble:loop", limits={"fuel": 10**15, "deadline_ms": 50})
    assert outcome.status is S.DEADLINE
    assert outcome.duration_ms < 500


def test_b04_bulk_instructions_are_bounded_by_memory() -> None:
    """Filling all memory again and again, which no tick can interrupt midway, ends soon after the deadline."""
    body = """(local $n i32) (drop (memory.grow (i32.const 255)))
      (loop $again (memory.fill (i32.const 0) (i32.const 1) (i32.const 16777216)) (br $again)) (i64.const 0)"""
    outcome = call(compiler.deploy(wat(body), kind="wasm"), limits={"deadline_ms": 50})
    assert outcome.status is S.DEADLINE
    assert outcome.duration_ms < 500


def test_b06_nesting_is_bounded() -> None:
    """A call may lead to one other call on its thread and no further; the third ends as ``busy``, nothing run."""
    artifact = javascript("async (event, ctx) => { await ctx.kv.get('k'); return 'outer'; }")
    found: list[S] = []

    class Leading(MemoryValues):
        """Fires a call whenever a value is read, as a hook on reading would."""

        def get(self, *where: Any, **more: Any) -> Any:
            if len(found) < 10:
                found.append(call(artifact, backend=backend).status)
            return super().get(*where, **more)

    backend = MemoryBackend()
    backend.values = Leading(backend)
    assert call(artifact, backend=backend).ok
    assert found[0] is S.BUSY
    assert S.OK in found
    assert call(artifact).ok


def test_b07_growth_is_refused() -> None:
    """``memory.grow`` over the limit gives -1, and the peak is told."""
    body = """(local $got i32) (local.set $got (memory.grow (i32.const 2000)))
      (i32.store8 (i32.const 22) (select (i32.const 49) (i32.const 48) (i32.eq (local.get $got) (i32.const -1))))
      (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 8))"""
    memory = '(memory (export "memory") 1)(data (i32.const 16) "{\\22ok\\22:0}")'
    outcome = call(compiler.deploy(wat(body, memory=memory), kind="wasm"))
    assert outcome.result == 1
    assert outcome.memory_bytes == 65536


def test_b09_a_slow_host_ends_with_the_deadline() -> None:
    """The clock runs on during a host call: the guest is stopped as soon as a late answer comes back."""
    here = runtime.runtime()
    artifact = javascript("async (event, ctx) => { await ctx.kv.get('k'); for (;;); }")

    def slow(family: str, request: bytes) -> bytes:
        time.sleep(0.2)
        return b'{"value":null}'

    run = Invocation(slow, ticks=ticker.ticks(50), memory_limit=16 << 20, table_limit=10_000, output_limit=1000)
    asked = Call(id="inv_slow", plugin="guest", version="1", hook="go")
    started = time.perf_counter()
    with here.ticker, pytest.raises(Stop) as stopped:
        here.program(artifact).run(abi.envelope(asked), run)
    assert stopped.value.status is S.DEADLINE
    assert time.perf_counter() - started < 0.35


def test_b10_logs_are_cut() -> None:
    """A flood of log lines is kept up to its limit, with a marker, and the call goes on."""
    artifact = javascript("() => { for (let i = 0; i < 2000; i++) console.log('x'.repeat(100)); return 1; }")
    outcome = call(artifact, limits={"log_bytes": 4096, "deadline_ms": 5000})
    assert outcome.result == 1
    assert sum(len(line.message) for line in outcome.logs) < 5000
    assert "dropped" in outcome.logs[-1].message


def test_b11_large_answers_are_not_read() -> None:
    """An answer of 200 MB by its length is refused before a byte of it is copied."""
    body = "(i64.or (i64.shl (i64.const 0) (i64.const 32)) (i64.const 200000000))"
    before = resident_kib()
    assert call(compiler.deploy(wat(body), kind="wasm")).status is S.OUTPUT_TOO_LARGE
    assert resident_kib() - before < 50_000


def test_b12_unknown_members_carry_nothing() -> None:
    """Members of an error that ABI v1 does not know are dropped; wrong types become empty texts."""
    source = answering('{"error":{"message":5,"status":"ok","name":"X","code":"c","operator_detail":"y"}}')
    outcome = call(compiler.deploy(source, kind="wasm"))
    assert outcome.status is S.TRAP
    assert outcome.error is not None
    assert (outcome.error.name, outcome.error.message, outcome.error.code) == ("X", "", "c")
    assert outcome.operator_detail == ""


def test_b14_two_hundred_at_once() -> None:
    """200 calls on 32 threads over few slots all end, each ``ok`` or ``busy``, and most of them ``ok``."""
    artifact = trouble("javascript")
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        found = list(
            pool.map(lambda _: call(artifact, "trouble:healthy", limits={"deadline_ms": 5000}).status, range(200))
        )
    assert set(found) <= {S.OK, S.BUSY}
    assert found.count(S.OK) > 150


@pytest.mark.parametrize("kind", ["javascript", "c"])
def test_b16_memory_stays_flat(kind: str) -> None:
    """3,000 calls, a tenth of which trap, leave resident memory where it was."""
    artifact = trouble(kind)

    def turn(number: int) -> None:
        call(artifact, "trouble:trap" if number % 10 == 0 else "trouble:healthy")

    for number in range(300):
        turn(number)
    before = resident_kib()
    for number in range(3000):
        turn(number)
    assert resident_kib() - before < 4096


@pytest.mark.parametrize(
    "ending", ["throw new Error('x')", "for (;;);", "return 'x'.repeat(1e6)", "return { reject: { message: 'no' } }"]
)
def test_b17_a_failed_call_stores_nothing(ending: str) -> None:
    """Writes before a trap, a deadline, an oversized answer or a refusal are forgotten; a good call's are kept."""
    backend = MemoryBackend()
    artifact = javascript(f"async (event, ctx) => {{ await ctx.kv.set('k', 1); if (event) {{ {ending}; }} return 0; }}")
    reader = javascript("async (event, ctx) => ctx.kv.get('k')")
    assert not call(artifact, event=1, backend=backend, limits={"deadline_ms": 100}).ok
    assert call(reader, backend=backend).result is None
    assert call(artifact, backend=backend).ok
    assert call(reader, backend=backend).result == 1


def test_b17_a_trap_in_alloc() -> None:
    """A module that traps while it makes room for its input ends as a trap."""
    source = wat("(i64.const 0)", alloc="(unreachable)")
    outcome = call(compiler.deploy(source, kind="wasm"))
    assert outcome.status is S.TRAP
    assert outcome.error is not None
    assert outcome.error.code == "unreachable"


def test_a_plugin_that_is_not_here_is_a_host_error() -> None:
    """Calling an artifact that this host never had ends as ``host_error`` with a code, not as an exception."""
    ghost = Artifact(digest="0" * 64, kind="wasm")
    outcome = host.execute(
        ghost, Call(id="inv_ghost", plugin="ghost", version="1", hook="go"),
        grants=KV, limits=Limits(), backend=MemoryBackend(), record=False,
    )  # fmt: skip
    assert outcome.status is S.HOST_ERROR
    assert outcome.error is not None
    assert outcome.error.code == "artifact_not_found"


@pytest.mark.parametrize("kind", KINDS)
def test_b05_recursion_ends_as_a_trap(kind: str) -> None:
    """Recursion without an end is a trap within a second in every kind of guest, twenty times in a row."""
    artifact = trouble(kind)
    for _ in range(20):
        outcome = call(artifact, "trouble:recurse", limits={"deadline_ms": 1000})
        assert outcome.status is S.TRAP
        assert outcome.error is not None
        assert kind == "javascript" or outcome.error.code in ("stack_overflow", "memory_out_of_bounds")
    assert call(artifact, "trouble:healthy").ok


@pytest.mark.parametrize("kind", KINDS)
def test_b08_a_flood_of_host_calls_is_counted(kind: str) -> None:
    """A thousand host calls where fifty are allowed: the rest is refused, counted one by one, and cheap."""
    outcome = call(trouble(kind), "trouble:host", limits={"host_calls": 50, "deadline_ms": 5000})
    assert outcome.result == "done"
    assert outcome.host_calls == 1000
    assert {refusal.code for refusal in outcome.refusals} == {"host_calls_exceeded"}
    assert outcome.duration_ms < 2000


#: Limit, word, status, code; each in every kind of guest.
EVERYWHERE = [
    ({"input_bytes": 50}, "healthy", S.HOST_ERROR, "input_too_large"),
    ({"memory_bytes": 1}, "healthy", S.MEMORY, "memory_exhausted"),
    ({"output_bytes": 5}, "healthy", S.OUTPUT_TOO_LARGE, "output_too_large"),
    ({"deadline_ms": 30}, "loop", S.DEADLINE, "deadline"),
    ({"fuel": 1}, "healthy", S.FUEL, "fuel"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("limits", "word", "status", "code"), EVERYWHERE, ids=[next(iter(one[0])) for one in EVERYWHERE]
)
def test_each_limit_trips_in_each_kind(kind: str, limits: dict[str, int], word: str, status: S, code: str) -> None:
    """A limit set as low as it goes ends the call with its own status and code; the next call is healthy."""
    artifact = trouble(kind)
    outcome = call(artifact, f"trouble:{word}", limits=limits)
    assert outcome.status is status
    assert outcome.error is not None
    assert outcome.error.code == code
    assert call(artifact, "trouble:healthy").result == "healthy"


@pytest.mark.parametrize("kind", KINDS)
def test_host_bytes_trip_in_each_kind(kind: str) -> None:
    """What host calls may carry is used up after some of them; the rest is refused and the guest goes on."""
    outcome = call(trouble(kind), "trouble:host", limits={"host_bytes": 500, "host_calls": 5000, "deadline_ms": 5000})
    assert outcome.result == "done"
    assert {refusal.code for refusal in outcome.refusals} == {"host_bytes_exceeded"}
    assert outcome.host_calls > len(outcome.refusals) or outcome.host_calls == 1000


def test_tables_do_not_grow_over_their_limit() -> None:
    """``table.grow`` over the limit gives -1 to the guest."""
    text = """(module (memory (export "memory") 1) (table $t 1 funcref) (data (i32.const 16) "{\\22ok\\22:0}")
      (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 1024))
      (func (export "zelavis_call") (param i32 i32) (result i64)
        (if (i32.eq (table.grow $t (ref.null func) (i32.const 101)) (i32.const -1))
          (then (i32.store8 (i32.const 22) (i32.const 49))))
        (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 8))))"""
    artifact = compiler.deploy(module(text), kind="wasm")
    assert call(artifact, limits={"table_elements": 100}).result == 1
    assert call(artifact, limits={"table_elements": 1000}).result == 0
