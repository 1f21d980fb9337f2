"""Hostile matrix I: a call is a function of its envelope and its host calls; what it says is only text."""

from __future__ import annotations

import json
import math
import os
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox import abi, compiler, runtime
from sandbox.abi import Invocation, Stop
from sandbox.artifact import Artifact
from sandbox.errors import SandboxError
from sandbox.inspect import inspect
from sandbox.outcome import Outcome, OutcomeStatus
from tests.sandbox.guests import ROOT, call, javascript, module, trouble, wat

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def test_i01_same_input_same_everything() -> None:
    """Equal envelopes give equal results, host calls and instruction counts, however often and in whatever order."""
    artifact = javascript(
        """async (event, ctx) => {
          await ctx.kv.set('k', Math.random());
          const bytes = String(await ctx.crypto.randomBytes(4));
          return [Math.random(), Date.now(), new Date().toISOString(), bytes, { ...event }];
        }"""
    )
    found = []
    for _ in range(3):
        outcome = call(artifact, event={"b": 1, "a": 2}, limits={"fuel": 10**9}, id="inv_same")
        found.append((json.dumps(outcome.result), outcome.host_calls, outcome.fuel))
        call(artifact, event=None)
    assert len(set(found)) == 1
    assert call(artifact, seed=8, id="inv_same").result[0] != json.loads(found[0][0])[0]


def test_i02_not_a_number_is_one_bit_pattern() -> None:
    """The bits of NaN do not depend on how it came about."""
    body = """(f64.store (i32.const 64) (f64.div (f64.const 0) (f64.const 0)))
      (f64.store (i32.const 72) (f64.sqrt (f64.const -1)))
      (f64.store (i32.const 80) (f64.add (f64.const -nan:0x4000000000001) (f64.const 1)))
      (if (i32.eqz (i32.and (i64.eq (i64.load (i32.const 64)) (i64.load (i32.const 72)))
                            (i64.eq (i64.load (i32.const 64)) (i64.load (i32.const 80))))) (then unreachable))
      (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 8))"""
    memory = '(memory (export "memory") 1)(data (i32.const 16) "{\\22ok\\22:1}")'
    assert call(compiler.deploy(wat(body, memory=memory), kind="wasm")).result == 1


def test_i06_the_clock_stands_still() -> None:
    """Time does not pass during a call, and every source of it is the envelope's."""
    source = """() => { const a = Date.now(), p = performance.now();
      for (let i = 0; i < 1e5; i++); return [Date.now() - a, performance.now() - p, a]; }"""
    assert call(javascript(source)).result == [0, 0, 1_700_000_000_000]


def test_i08_log_lines_are_inert() -> None:
    """Line breaks, escape sequences and direction marks of a plugin's log are shown as escapes, one line each."""
    outcome = call(javascript(r"() => console.log('a\n2026 ERROR forged\u001b[31m\u202e\u0000')"))
    assert len(outcome.logs) == 1
    assert outcome.logs[0].message.isprintable()


def test_random_numbers_are_well_mixed() -> None:
    """Neighbouring seeds give unrelated numbers, spread evenly over the interval."""
    artifact = javascript("() => Array.from({ length: 200 }, Math.random)")
    rows = [call(artifact, seed=seed).result for seed in range(5)]
    everything = [number for row in rows for number in row]
    assert all(0 <= number < 1 for number in everything)
    assert abs(sum(everything) / len(everything) - 0.5) < 0.05
    assert len(set(everything)) == len(everything)
    firsts = [row[0] for row in rows]
    assert max(firsts) - min(firsts) > 0.2


def typed(outcome: Outcome) -> bool:
    """Whether an outcome is whole: a known status, and an error where it is not ``ok``."""
    return isinstance(outcome.status, OutcomeStatus) and (outcome.ok or outcome.error is not None)


GUEST = (ROOT / "examples" / "plugins" / "word-count-c" / "plugin.wasm").read_bytes()


@SLOW
@given(st.binary(max_size=300))
def test_i10_random_bytes(data: bytes) -> None:
    """Random bytes, with and without a module's beginning, are refused with a typed error."""
    for source in (data, b"\0asm\1\0\0\0" + data):
        try:
            inspect(source, kind="wasm")
        except SandboxError as error:
            assert error.status == 422  # noqa: PT017  most of them pass or fail, as they like


@SLOW
@given(st.integers(0, len(GUEST)), st.integers(0, len(GUEST) - 1), st.integers(0, 255))
def test_i10_truncated_and_changed_modules_are_inspected(cut: int, at: int, value: int) -> None:
    """A real module cut anywhere or with one byte changed is inspected or refused, nothing else."""
    for source in (GUEST[:cut], GUEST[:at] + bytes([value]) + GUEST[at + 1 :]):
        try:
            assert inspect(source, kind="wasm").size == len(source)
        except SandboxError as error:
            assert error.status == 422  # noqa: PT017


def test_i10_changed_modules_that_pass_are_harmless() -> None:
    """Modules with a byte changed that still deploy end every call with a typed outcome, in time."""
    generator = random.Random(int(os.environ.get("ZELAVIS_TEST_SEED", "1")))
    event = {"id": "1", "content": {"title": "a b", "body": "c"}}
    tried = 0
    for _ in range(25):
        source = bytearray(GUEST)
        for _ in range(generator.randint(1, 3)):
            source[generator.randrange(8, len(source))] = generator.randrange(256)
        try:
            inspect(bytes(source), kind="wasm")
            artifact = compiler.deploy(bytes(source), kind="wasm")
        except SandboxError:
            continue
        tried += 1
        assert typed(call(artifact, "content:afterSave", event, limits={"deadline_ms": 50}))
    assert tried
    assert call(trouble("c"), "trouble:healthy").ok


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def same(one: object, other: object) -> bool:
    """Equality as JavaScript sees it: whole doubles and integers are one kind of number."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return isinstance(one, bool) == isinstance(other, bool) and math.isclose(
            one, other, rel_tol=1e-15, abs_tol=5e-324
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@SLOW
@given(JSON)
def test_i10_any_json_comes_back(value: object) -> None:
    """Any JSON event reaches a JavaScript handler and comes back as it was, keys, Unicode and numbers."""
    outcome = call(javascript("(event) => ({ event })"), event=value)
    assert outcome.ok
    assert same(outcome.result["event"], value)


@SLOW
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_i10_any_pointer_is_a_typed_outcome(pointer: int, length: int) -> None:
    """Whatever pointer and length a guest gives as its answer, the outcome is typed."""
    artifact = pointing()
    assert typed(call(artifact, event=[pointer, length], limits={"output_bytes": 1 << 30}))


def pointing() -> Artifact:
    """A module that answers with the pointer and length that its event holds as ``[pointer,length]``."""
    body = """(local $number i64) (local $packed i64) (local $c i32)
      (loop $find (br_if $find
        (i32.ne (i32.load8_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))) (i32.const 91))))
      (loop $digits
        (local.set $c (i32.load8_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))))
        (if (i32.eq (local.get $c) (i32.const 44)) (then
          (local.set $packed (i64.shl (local.get $number) (i64.const 32)))
          (local.set $number (i64.const 0)) (br $digits)))
        (if (i32.ne (local.get $c) (i32.const 93)) (then
          (local.set $number (i64.add (i64.mul (local.get $number) (i64.const 10))
            (i64.extend_i32_u (i32.sub (local.get $c) (i32.const 48))))) (br $digits))))
      (i64.or (local.get $packed) (local.get $number))"""
    return compiler.deploy(wat(body), kind="wasm")


@SLOW
@given(st.binary(max_size=40))
def test_i10_any_answer_is_a_typed_outcome(data: bytes) -> None:
    """Whatever bytes a guest answers, the outcome is typed."""
    try:
        abi.answer(data, depth=64)
    except Stop as stop:
        assert stop.error.code or stop.error.name  # noqa: PT017


POINTER = st.sampled_from([0, 1, 16, 65_535, 65_536, 65_537, 2**31 - 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)


@SLOW
@given(st.tuples(POINTER, POINTER, POINTER, POINTER, POINTER), st.integers(0, 70_000))
def test_i10_any_pointer_of_a_host_call_is_a_typed_outcome(pointers: tuple[int, ...], size: int) -> None:
    """Whatever a guest gives as request, buffer and place for a late answer: an answer or a typed stop, and the host
    reads no byte that is not the guest's."""
    artifact = compiler.deploy(
        module(
            """(module (import "zelavis_v1" "kv" (func $kv (param i32 i32 i32 i32) (result i32)))
              (import "zelavis_v1" "take" (func $take (param i32))) (memory (export "memory") 1)
              (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 1024))
              (func (export "zelavis_call") (param $at i32) (param i32) (result i64)
                (drop (call $kv (i32.load (local.get $at)) (i32.load offset=4 (local.get $at))
                                (i32.load offset=8 (local.get $at)) (i32.load offset=12 (local.get $at))))
                (call $take (i32.load offset=16 (i32.const 1024)))
                (i64.const 8)))"""
        ),
        kind="wasm",
    )
    asked: list[bytes] = []

    def answer(family: str, request: bytes) -> bytes:
        asked.append(request)
        return b"x" * size

    here = runtime.runtime()
    run = Invocation(answer, ticks=1000, memory_limit=1 << 20, table_limit=10, output_limit=100)
    payload = b"".join(pointer.to_bytes(4, "little") for pointer in pointers)
    try:
        with here.ticker:
            assert len(here.program(artifact).run(payload, run)) == 8
    except Stop as stop:
        assert stop.status in (OutcomeStatus.TRAP, OutcomeStatus.HOST_ERROR)  # noqa: PT017
        assert stop.error.code in ("bad_pointer", "nothing_to_take")  # noqa: PT017
    assert asked == [] or (pointers[0] + pointers[1] <= 65_536 and len(asked[0]) == pointers[1])
