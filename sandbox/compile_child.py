"""What runs in the compile child: a process with little time, little memory and no environment.

Started by ``sandbox.compiler`` as a script. One request comes in on standard input, one answer goes out on standard
output, both as frames (four bytes of length, then bytes): a JSON header first, binary parts after it. Nothing of Django
is imported here.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
from pathlib import Path
from typing import Any

_DATA_BYTES = 768 << 20


def _restrict(cpu_seconds: int) -> None:
    """Limits of this process. Address space is not one: memories reserve far more of it than they use."""
    for what, limit in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_DATA, _DATA_BYTES),
        # The engine keeps initial memory in files that have no name; nothing else is written.
        (resource.RLIMIT_FSIZE, 128 << 20),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))


def _frames() -> list[bytes]:
    source = sys.stdin.buffer
    found = []
    while length := source.read(4):
        found.append(source.read(int.from_bytes(length)))
    return found


def _answer(header: dict[str, Any], *parts: bytes) -> None:
    out = sys.stdout.buffer
    for part in (json.dumps(header).encode(), *parts):
        out.write(len(part).to_bytes(4) + part)
    out.flush()


def _compile(request: dict[str, Any], parts: list[bytes]) -> None:
    """One module to native code."""
    import wasmtime

    from sandbox import engine

    made = wasmtime.Engine(engine.config(engine.Profile(**request["profile"])))
    try:
        module = wasmtime.Module(made, parts[0])
    except wasmtime.WasmtimeError as error:
        _answer({"error": str(error), "code": "invalid_module"})
        return
    _answer({"ok": True}, bytes(module.serialize()))


def _snapshot(request: dict[str, Any], parts: list[bytes]) -> None:
    """A JavaScript plugin to the image of the engine that has evaluated it."""
    import wasmtime

    from sandbox import engine, snapshot

    compiled_engine, blank, bootstrap, source = parts
    made = wasmtime.Engine(engine.config(engine.Profile(**request["profile"])))
    store = wasmtime.Store(made)
    store.set_limits(memory_size=request["memory_bytes"])
    # The thread below ends the evaluation: the first tick is the deadline.
    store.set_epoch_deadline(1)
    if request["profile"]["fuel"]:
        store.set_fuel(2**63 - 1)
    timer = threading.Timer(request["seconds"], made.increment_epoch)
    timer.daemon = True
    timer.start()
    memory = wasmtime.Instance(store, wasmtime.Module(made, blank), []).exports(store)["memory"]
    module = wasmtime.Module.deserialize(made, compiled_engine)
    i32 = wasmtime.ValType.i32

    def call(caller: Any, name: int, name_length: int, body: int, length: int, buffer: int, capacity: int) -> int:
        family = bytes(memory.read(store, name, name + name_length))
        # Lines that a plugin logs while it is deployed go nowhere; every other host call is refused.
        refused = {"error": "There are no host calls while a plugin is deployed.", "code": "not_at_deployment"}
        answer = json.dumps({"value": None} if family == b"log" else refused).encode()
        memory.write(store, answer, buffer)
        return len(answer)

    functions = {
        "call": wasmtime.Func(store, wasmtime.FuncType([i32()] * 6, [i32()]), call, access_caller=True),
        "take": wasmtime.Func(store, wasmtime.FuncType([i32()], []), lambda _: None),
    }
    imports = [memory if one.module == snapshot.IMAGE else functions[one.name] for one in module.imports]
    try:
        exports = wasmtime.Instance(store, module, imports).exports(store)
        rest = exports["__stack_pointer"].value(store)
        exports["_initialize"](store)

        def run(name: str, text: bytes) -> dict[str, Any]:
            pointer = exports["zelavis_alloc"](store, len(text))
            if not pointer:
                return {"error": {"message": "out of memory", "code": "memory_exhausted"}}
            memory.write(store, text, pointer)
            packed = exports[name](store, pointer, len(text))
            at, size = (packed >> 32) & 0xFFFFFFFF, packed & 0xFFFFFFFF
            answer: dict[str, Any] = json.loads(bytes(memory.read(store, at, at + size)))
            return answer

        for name, content in (("boot", bootstrap), ("load", source)):
            told = run(name, content)
            if "error" in told:
                _answer({"error": told["error"], "code": "plugin_load_failed", "stage": name})
                return
        found = told["ok"]
        if exports["__stack_pointer"].value(store) != rest:
            raise RuntimeError("the engine does not rest")
        state = bytes(memory.read(store, 0, memory.data_len(store)))
    except wasmtime.Trap as trap:
        late = trap.trap_code == wasmtime.TrapCode.INTERRUPT
        text = f"did not finish within {request['seconds']:g} seconds" if late else str(trap).splitlines()[-1].strip()
        _answer({"error": {"message": f"the top-level code {text}"}, "code": "plugin_load_failed", "stage": "load"})
        return
    timer.cancel()
    image = wasmtime.Module(made, snapshot.image(state))
    _answer({"ok": True, "found": found, "memory_bytes": len(state)}, bytes(image.serialize()))


def main() -> None:
    """Serve the one request."""
    frames = _frames()
    request = json.loads(frames[0])
    _restrict(int(request["cpu_seconds"]))
    {"compile": _compile, "snapshot": _snapshot}[request["job"]](request, frames[1:])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
