"""Hostile matrix C: the guest's pointers, texts and timing reach nothing but its own memory."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime

from sandbox import compiler, runtime
from sandbox.capabilities.backends.memory import MemoryBackend, MemoryValues
from sandbox.outcome import OutcomeStatus as S
from tests.sandbox.guests import KV, answering, call, javascript, module, trouble, wat


def packed(pointer: int, length: int) -> bytes:
    """A module whose answer is this pointer and length."""
    return wat(f"(i64.or (i64.shl (i64.const {pointer}) (i64.const 32)) (i64.const {length}))")


@pytest.mark.parametrize(
    ("pointer", "length"),
    [(0xFFFFFFFA, 6), (0xFFFFFFFF, 1), (0, 65537), (65530, 7), (0x80000000, 4), (65536, 1)],
)
def test_c01_c02_answers_outside_of_memory(pointer: int, length: int) -> None:
    """A pointer that is negative as a signed number, or an end past memory or 32 bits, is ``bad_pointer``."""
    outcome = call(compiler.deploy(packed(pointer, length), kind="wasm"), limits={"output_bytes": 1 << 20})
    assert outcome.status is S.TRAP
    assert outcome.error is not None
    assert outcome.error.code == "bad_pointer"


@pytest.mark.parametrize(
    ("alloc", "status", "code"),
    [
        ("(i32.const 0)", S.MEMORY, "memory_exhausted"),
        ("(i32.const -6)", S.TRAP, "bad_pointer"),
        ("(i32.const 65530)", S.TRAP, "bad_pointer"),
        ("(i32.const 7)", S.OK, ""),
    ],
)
def test_c03_room_for_the_input(alloc: str, status: S, code: str) -> None:
    """Zero is no memory, a place outside of memory is never written, an unaligned one is the guest's own affair."""
    body = "(i64.or (i64.shl (i64.const 40000) (i64.const 32)) (i64.const 8))"
    memory = '(memory (export "memory") 1)(data (i32.const 40000) "{\\22ok\\22:1}")'
    outcome = call(compiler.deploy(wat(body, alloc=alloc, memory=memory), kind="wasm"))
    assert outcome.status is status
    assert (outcome.error.code if outcome.error else "") == code


def test_c04_memory_that_grows_under_the_host() -> None:
    """Memory that grows during ``zelavis_alloc`` is found again before it is written."""
    body = "(i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 8))"
    source = wat(
        body,
        alloc="(drop (memory.grow (i32.const 100))) (i32.const 6000000)",
        memory='(memory (export "memory") 1)(data (i32.const 16) "{\\22ok\\22:1}")',
    )
    assert call(compiler.deploy(source, kind="wasm")).result == 1


def host_call(request: str, buffer: str = "(i32.const 100) (i32.const 100)") -> bytes:
    """A module that makes one host call with these pointers and answers 1."""
    return module(
        f"""(module (import "zelavis_v1" "kv" (func $kv (param i32 i32 i32 i32) (result i32)))
          (import "zelavis_v1" "take" (func $take (param i32)))
          (memory (export "memory") 1) (data (i32.const 16) "{{\\22ok\\22:1}}")
          (data (i32.const 32) "{{\\22op\\22:\\22get\\22,\\22args\\22:[\\22k\\22]}}")
          (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 1024))
          (func (export "zelavis_call") (param i32 i32) (result i64)
            (drop (call $kv {request} {buffer}))
            (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 8))))"""
    )


@pytest.mark.parametrize(
    ("request_at", "buffer"),
    [
        ("(i32.const -8) (i32.const 8)", "(i32.const 100) (i32.const 100)"),
        ("(i32.const 65530) (i32.const 7)", "(i32.const 100) (i32.const 100)"),
        ("(i32.const 32) (i32.const -1)", "(i32.const 100) (i32.const 100)"),
        ("(i32.const 32) (i32.const 25)", "(i32.const -8) (i32.const 100)"),
        ("(i32.const 32) (i32.const 25)", "(i32.const 65500) (i32.const 100)"),
    ],
)
def test_pointers_of_host_calls(request_at: str, buffer: str) -> None:
    """A request or a buffer outside of memory ends the call before anything is read or written."""
    outcome = call(compiler.deploy(host_call(request_at, buffer), kind="wasm"))
    assert outcome.status is S.TRAP
    assert outcome.error is not None
    assert outcome.error.code == "bad_pointer"


def test_requests_that_are_not_json_are_answered() -> None:
    """A request of zero bytes or of rubbish is answered with an error that the guest can handle."""
    for at in ("(i32.const 32) (i32.const 0)", "(i32.const 20) (i32.const 30)"):
        assert call(compiler.deploy(host_call(at), kind="wasm")).result == 1


def test_take_without_an_answer() -> None:
    """``take`` when nothing waits, or twice, is a trap with a code."""
    source = host_call("(i32.const 32) (i32.const 25)")
    text = """(module (import "zelavis_v1" "take" (func $take (param i32))) (memory (export "memory") 1)
      (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 8))
      (func (export "zelavis_call") (param i32 i32) (result i64) (call $take (i32.const 0)) (i64.const 0)))"""
    outcome = call(compiler.deploy(module(text), kind="wasm"))
    assert outcome.error is not None
    assert outcome.error.code == "nothing_to_take"
    assert call(compiler.deploy(source, kind="wasm")).ok


@pytest.mark.parametrize("kind", ["javascript"])
def test_answers_larger_than_the_buffer(kind: str) -> None:
    """An answer over the guest's first buffer is taken whole, byte for byte."""
    backend = MemoryBackend()
    text = "ä€😀" * 3000
    artifact = javascript(
        "async (event, ctx) => { if (event) await ctx.kv.set('k', event); return await ctx.kv.get('k'); }"
    )
    assert call(artifact, event=text, backend=backend).result == text
    assert call(artifact, backend=backend).result == text


def test_c07_the_hosts_errors_are_not_the_guests() -> None:
    """What goes wrong in the host reaches the operator whole and the guest as a code, without paths or names."""

    class Broken(MemoryValues):
        def get(self, *where: Any, **more: Any) -> Any:
            raise RuntimeError("secret /etc/path")

    backend = MemoryBackend()
    backend.values = Broken(backend)

    artifact = javascript(
        "async (e, ctx) => { try { await ctx.kv.get('k'); } catch (x) { throw new Error(x.message); } }"
    )
    outcome = call(artifact, backend=backend)
    assert outcome.status is S.HOST_ERROR
    assert outcome.error is not None
    assert "secret" not in str(outcome.error)
    assert "secret /etc/path" in outcome.operator_detail


def test_c09_modules_of_another_engine() -> None:
    """A store refuses a module of another engine."""
    store = wasmtime.Store(runtime.runtime().engine)
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Instance(store, wasmtime.Module(wasmtime.Engine(), "(module)"), [])


def test_c10_nothing_of_an_earlier_call() -> None:
    """A sentinel in globals and memory is absent in the next call; test_fresh.py does it a thousand times."""
    for kind in ("javascript", "c", "assemblyscript"):
        assert [call(trouble(kind), "trouble:keep").result for _ in range(3)] == ["fresh"] * 3


def test_c06_texts_of_the_guest_are_cut_and_cleaned() -> None:
    """An error with NUL, line breaks and a megabyte of text is cut to size and stays text."""
    artifact = javascript(
        r"() => { throw Object.assign(new Error('a\0b\n' + 'x'.repeat(1e5)), { code: 'y'.repeat(1e4) }); }"
    )
    outcome = call(artifact)
    assert outcome.error is not None
    assert outcome.error.message.startswith("a\0b\n")
    assert len(outcome.error.message) == 4000
    assert len(outcome.error.code) == 100


def test_errors_that_cannot_be_described() -> None:
    """Throwing null, a proxy that throws, or an error with hostile getters is a trap like any other."""
    for thrown in ("null", "undefined", "Symbol('s')", "new Proxy({}, { get() { throw 1; } })",
                   "{ get message() { for (;;); } }", "Object.create(null)", "10n"):  # fmt: skip
        outcome = call(javascript(f"() => {{ throw {thrown}; }}"), limits={"deadline_ms": 60})
        assert outcome.status in (S.TRAP, S.DEADLINE), thrown


def test_a_poisoned_environment_harms_only_its_call() -> None:
    """A plugin that breaks JSON, Promise, Array and Object ends in a typed way, and the next call is healthy."""
    artifact = javascript(
        """async (event, ctx) => {
          if (!event) return 'healthy';
          JSON.parse = JSON.stringify = () => { throw 1; };
          Array.prototype.map = Object.entries = Object.create = undefined;
          Promise.prototype.then = () => { throw 2; };
          Object.defineProperty(Object.prototype, 'error', { get() { throw 3; } });
          return await ctx.kv.get('k');
        }"""
    )
    assert call(artifact, event=1).status in (S.TRAP, S.OK, S.OUTPUT_INVALID)
    assert call(artifact).result == "healthy"
    assert call(compiler.deploy(answering('{"ok":2}'), kind="wasm")).result == 2


def test_c05_a_buffer_over_the_request() -> None:
    """A guest that wants its answer where its request lies gets it: the request was copied out before."""
    backend = MemoryBackend()
    seeded = javascript('async (event, ctx) => { await ctx.kv.set("k", 7); }')
    assert call(seeded, backend=backend).ok
    text = """(module (import "zelavis_v1" "kv" (func $kv (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 10) "{\\22ok\\22:")
      (data (i32.const 16) "{\\22op\\22:\\22get\\22,\\22args\\22:[\\22k\\22]}")
      (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 1024))
      (func (export "zelavis_call") (param i32 i32) (result i64) (local $n i32)
        (local.set $n (call $kv (i32.const 16) (i32.const 25) (i32.const 16) (i32.const 100)))
        (i32.store8 (i32.add (i32.const 16) (local.get $n)) (i32.const 125))
        (i64.or (i64.shl (i64.const 10) (i64.const 32)) (i64.extend_i32_u (i32.add (local.get $n) (i32.const 7))))))"""
    outcome = call(compiler.deploy(module(text), kind="wasm"), backend=backend)
    assert outcome.result == {"value": 7}


def test_c08_what_another_plugin_was_handed_opens_nothing() -> None:
    """There are no handles; what the host does hand out, cursors, leads every plugin through its own data only."""
    backend = MemoryBackend()
    grants = {**KV, "documents": {"reason": "t", "collections": {"c": {"indexes": ["n"]}}}, "object": {"reason": "t"}}
    fill = javascript(
        """async (name, ctx) => {
             for (let n = 0; n < 5; n++) {
               await ctx.kv.set(`k${n}`, name);
               await ctx.documents.put("c", `d${n}`, { n, name });
             }
           }"""
    )
    page = javascript(
        """async (cursors, ctx) => {
             const [a, b] = cursors ?? [];
             const keys = await ctx.kv.list({ limit: 2, cursor: a });
             const found = await ctx.documents.query("c", { orderBy: "n", limit: 2, cursor: b });
             return [keys.items.map((one) => one.value), found.items.map((one) => one.data.name),
                     [keys.cursor, found.cursor]];
           }"""
    )
    for name in ("one", "two"):
        assert call(fill, event=name, plugin=name, backend=backend, grants=grants).ok
    outcome = call(page, plugin="one", backend=backend, grants=grants)
    assert outcome.ok, outcome.error
    first = outcome.result
    assert first[:2] == [["one", "one"]] * 2
    stolen = call(page, event=first[2], plugin="two", backend=backend, grants=grants).result
    assert stolen[:2] == [["two", "two"]] * 2


def test_c11_memory_that_nobody_wrote_is_zero() -> None:
    """Every byte of a fresh store that the module did not fill is zero, also after growth, right after a call of
    another plugin that filled all it could."""
    filler = javascript(
        "() => { const kept = []; try { for (;;) kept.push(new Uint8Array(1 << 16).fill(115)); } catch { return 1; } }"
    )
    text = """(module (memory (export "memory") 2) (data (i32.const 16) "{\\22ok\\22:0}")
      (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 1024))
      (func (export "zelavis_call") (param i32 i32) (result i64) (local $at i32)
        (drop (memory.grow (i32.const 62)))
        (local.set $at (i32.const 8192))
        (loop $next
          (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
            (then (i32.store8 (i32.const 22) (i32.const 49))))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br_if $next (i32.lt_u (local.get $at) (i32.const 4194304))))
        (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 8))))"""
    reader = compiler.deploy(module(text), kind="wasm")
    for _ in range(20):
        assert call(filler).status in ("ok", "memory")
        assert call(reader, limits={"deadline_ms": 5000}).result == 0
