"""The child of ``sandbox.selftest``: prints ``passed`` when the fast path does what it must."""

from __future__ import annotations

import os
import sys
from pathlib import Path

#: A guest of ABI v1 that does what its input's first byte says.
GUEST = """
(module
  (import "zelavis_v1" "kv" (func $kv (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (table 1 funcref)
  (type $nothing (func))
  (data (i32.const 1000) "{\\22ok\\22:1}")
  (global $calls (mut i32) (i32.const 0))
  (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 16))
  (func $deep (result i32) (i32.add (call $deep) (i32.const 1)))
  (func (export "zelavis_call") (param $at i32) (param $length i32) (result i64)
    (local $what i32)
    (local.set $what (i32.load8_u (local.get $at)))
    (if (global.get $calls) (then unreachable))
    (global.set $calls (i32.const 1))
    (if (i32.eq (local.get $what) (i32.const 117)) (then unreachable))
    (if (i32.eq (local.get $what) (i32.const 109)) (then (drop (i32.load (i32.const -8)))))
    (if (i32.eq (local.get $what) (i32.const 100)) (then (drop (i32.div_u (i32.const 1) (i32.const 0)))))
    (if (i32.eq (local.get $what) (i32.const 115)) (then (drop (call $deep))))
    (if (i32.eq (local.get $what) (i32.const 110)) (then (call_indirect (type $nothing) (i32.const 0))))
    (if (i32.eq (local.get $what) (i32.const 108)) (then (loop $again (br $again))))
    (if (i32.eq (local.get $what) (i32.const 104))
      (then (return (i64.or (i64.shl (i64.const 2000) (i64.const 32))
        (i64.extend_i32_u (call $kv (local.get $at) (local.get $length) (i32.const 2000) (i32.const 100)))))))
    (i64.or (i64.shl (i64.const 1000) (i64.const 32)) (i64.const 8))))
"""
#: First byte of the input, and the code of the stop or ``None`` for an answer.
CASES = {
    "k": None,
    "u": "unreachable",
    "m": "memory_out_of_bounds",
    "d": "integer_division_by_zero",
    "s": "stack_overflow",
    "n": "indirect_call_to_null",
    "l": "deadline",
    "h": None,
}
#: Ticks that a case has, and those of the loop, which must be stopped. A machine may be busy for seconds while this
#: runs, and a failed self-test costs the process the fast path.
PATIENCE, SHORT = 20_000, 4


def main(profile_name: str) -> None:
    """Run every case twice on one engine; raise where an answer is wrong."""
    import django.conf
    import wasmtime

    django.conf.settings.configure()
    from sandbox import engine, fast, ticker
    from sandbox.abi import Invocation, Stop

    made = fast.make_engine(engine.Profile(hardened=profile_name == "hardened"), slots=2)
    machine = fast.Machine(made, ("kv",))
    program = machine.load(wasmtime.Module(made, GUEST))
    clock = ticker.Ticker(machine.advance)
    for letter, expected in [*CASES.items()] * 2:
        invocation = Invocation(
            lambda _, request: b"[" + request + b"]",
            ticks=SHORT if expected == "deadline" else PATIENCE,
            memory_limit=1 << 20,
            table_limit=10,
            output_limit=1000,
        )
        answer, code = b"", None
        try:
            with clock as late:
                invocation.ticks += late
                answer = program.run(letter.encode(), invocation)
        except Stop as stop:
            code = stop.error.code
        wanted = {"k": b'{"ok":1}', "h": b"[h]"}.get(letter, b"")
        if code != expected or answer != wanted:
            raise SystemExit(f"case {letter}: {code} {answer!r}")
    print("passed", flush=True)  # noqa: T201  the answer to the parent
    # Nothing is destroyed on the way out: the verdict is about calls.
    os._exit(0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main(sys.argv[1])
