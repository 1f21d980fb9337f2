"""Guests of the sandbox's tests: sources, deployment and a call without ceremony."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import wasmtime

from sandbox import compiler, host
from sandbox.artifact import Artifact
from sandbox.call import Call
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.limits import Limits
from sandbox.outcome import Outcome

ROOT = Path(__file__).resolve().parents[2]
KV: dict[str, dict[str, Any]] = {
    "kv": {"reason": "tests", "callsPerInvocation": 1000, "callsPerHour": 10_000_000, "bytes": 1_000_000}
}
_numbers = itertools.count(1)

#: The troublemaker in JavaScript; in C, AssemblyScript and Rust it is in tests/guests/.
TROUBLE = rb"""
let globalSecret = "";
const closure = (() => { let kept = ""; return { get: () => kept, set: (v) => { kept = v; } }; })();
const bytes = new Uint8Array(4096);
const hooks = {
  keep() {
    const found = globalSecret || closure.get() || bytes[100] || Object.prototype.secret || globalThis.secret
      || Array.prototype.map.secret || Math.secret || new Error().secret || JSON.parse.secret;
    globalSecret = "secret"; closure.set("secret"); bytes[100] = 115; globalThis.secret = 1;
    Object.prototype.secret = 1; Array.prototype.map.secret = 1; Math.secret = 1;
    JSON.parse = Object.assign(() => 0, { secret: 1 });
    return found ? "found" : "fresh";
  },
  "keep-twice"() { hooks.keep(); return hooks.keep(); },
  loop() { for (;;); },
  memory() { const kept = []; for (;;) kept.push(new Uint8Array(1 << 20)); },
  recurse() { const deep = (n) => deep(n + 1) + 1; return deep(0); },
  trap() { throw new TypeError("boom"); },
  big() { return "x".repeat(1 << 20); },
  invalid() { return { n: 10n }; },
  async host(event, ctx) { for (let i = 0; i < 1000; i++) await ctx.kv.get("k").catch(() => 0); return "done"; },
  async denied(event, ctx) { return ctx.http.fetch("https://example.com/"); },
  healthy: () => "healthy",
  never: () => new Promise(() => {}),
  regex: () => /(a+)+$/.test("a".repeat(40) + "b"),
};
export default { hooks: Object.fromEntries(Object.entries(hooks).map(([name, f]) => [`trouble:${name}`, f])) };
"""
KINDS = ("javascript", "c", "assemblyscript", "rust")


def trouble(kind: str) -> Artifact:
    """The troublemaker of one guest kind, deployed."""
    return compiler.deploy(_source(kind), kind="javascript" if kind == "javascript" else "wasm")


def twin(kind: str) -> Artifact:
    """The same troublemaker as another plugin: it does the same, and its digest is another."""
    if kind == "javascript":
        return compiler.deploy(_source(kind) + b"// twin", kind="javascript")
    return compiler.deploy(_source(kind) + b"\0\5\4twin", kind="wasm")


def _source(kind: str) -> bytes:
    return TROUBLE if kind == "javascript" else (ROOT / f"tests/guests/trouble-{kind}/plugin.wasm").read_bytes()


def javascript(source: str) -> Artifact:
    """A plugin whose only hook ``go`` is this handler."""
    return compiler.deploy(f"export default {{ hooks: {{ go: {source} }} }};".encode(), kind="javascript")


def call(
    artifact: Artifact,
    hook: str = "go",
    event: Any = None,
    *,
    grants: dict[str, dict[str, Any]] | None = None,
    backend: Any = None,
    plugin: str = "guest",
    limits: dict[str, Any] | None = None,
    **more: Any,
) -> Outcome:
    """One unrecorded call with stores in memory; ``limits`` are fields of :class:`Limits`."""
    more = {"id": f"inv_test{next(_numbers)}", "version": "1.0.0", "now_ms": 1_700_000_000_000, "seed": 7, **more}
    asked = Call(plugin=plugin, hook=hook, event=event, **more)
    return host.execute(
        artifact,
        asked,
        grants=KV if grants is None else grants,
        limits=Limits(**(limits or {})),
        backend=backend or MemoryBackend(),
        record=False,
    )


def wat(body: str, *, memory: str = '(memory (export "memory") 1)', alloc: str = "(i32.const 1024)") -> bytes:
    """A module of ABI v1 whose ``zelavis_call`` has ``body``, which leaves an i64."""
    text = f"""(module {memory}
      (func (export "zelavis_alloc") (param i32) (result i32) {alloc})
      (func (export "zelavis_call") (param $at i32) (param $length i32) (result i64) {body}))"""
    return bytes(wasmtime.wat2wasm(text))


def module(text: str) -> bytes:
    """A module from its text."""
    return bytes(wasmtime.wat2wasm(text))


def answering(text: str, *, before: str = "", memory: str = '(memory (export "memory") 1)') -> bytes:
    """A module that always answers ``text``."""
    data = "".join(f"\\{byte:02x}" for byte in text.encode())
    body = f"(i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const {len(text.encode())}))"
    return wat(f"{before}{body}", memory=f'{memory}(data (i32.const 16) "{data}")')
