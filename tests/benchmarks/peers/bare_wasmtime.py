"""wasmtime itself, twice: its public Python API, and the least a fresh store can cost over its documented C API.

Arguments: calls, seconds of throughput, path of a guest with our ABI, name of the guest.
The second way has no policy, no ticker, no ledger, no checks: it is the floor under every row of ours, not a host.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import c_bool, c_char_p, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

from tests.benchmarks.harness import emit, measured
from tests.benchmarks.peers import work

SLOTS = 8


def engine(*, pool: bool) -> wasmtime.Engine:
    """The profile of the product: epochs, copy-on-write images and, where asked, warm pool slots."""
    config = wasmtime.Config()
    config.epoch_interruption = True
    config.memory_init_cow = True
    config.parallel_compilation = False
    if pool:
        settings = ffi.wasmtime_pooling_allocation_config_new()
        for name, value in {
            "total_core_instances": SLOTS * 2,
            "total_memories": SLOTS,
            "total_tables": SLOTS * 2,
            "max_memory_size": 64 << 20,
            "linear_memory_keep_resident": 2 << 20,
            "table_keep_resident": 64 << 10,
        }.items():
            getattr(ffi, f"wasmtime_pooling_allocation_config_{name}_set")(settings, value)
        ffi.wasmtime_pooling_allocation_strategy_set(config.ptr(), settings)
        ffi.wasmtime_pooling_allocation_config_delete(settings)
    return wasmtime.Engine(config)


def types() -> dict[str, wasmtime.FuncType]:
    """The imports a guest of ours may have here."""
    i32 = wasmtime.ValType.i32
    return {
        "kv": wasmtime.FuncType([i32(), i32(), i32(), i32()], [i32()]),
        "take": wasmtime.FuncType([i32()], []),
    }


def public_call(wasm: bytes) -> Any:
    """As the documentation of wasmtime-py shows it, with an InstancePre."""
    with_pool = engine(pool=False)
    module = wasmtime.Module(with_pool, wasm)
    linker = wasmtime.Linker(with_pool)

    def kv(caller: wasmtime.Caller, at: int, size: int, buffer: int, capacity: int) -> int:
        memory = caller["memory"]
        assert isinstance(memory, wasmtime.Memory)
        answer = work.kv(bytes(memory.read(caller, at, at + size)))
        memory.write(caller, answer, buffer)
        return len(answer)

    linker.define_func("zelavis_v1", "kv", types()["kv"], kv, access_caller=True)
    linker.define_func("zelavis_v1", "take", types()["take"], lambda at: None)
    prepared = linker.instantiate_pre(module)
    text = work.envelope()

    def call() -> bytes:
        with wasmtime.Store(with_pool) as store:
            store.set_limits(memory_size=64 << 20)
            store.set_epoch_deadline(20)
            exports = prepared.instantiate(store).exports(store)
            memory: Any = exports["memory"]
            alloc: Any = exports["zelavis_alloc"]
            run: Any = exports["zelavis_call"]
            at = alloc(store, len(text))
            memory.write(store, text, at)
            packed = run(store, at, len(text)) & (1 << 64) - 1
            start, size = packed >> 32, packed & 0xFFFFFFFF
            return bytes(memory.read(store, start, start + size))

    return call


def least_call(wasm: bytes) -> Any:
    """One store over the C API: create, limit, instantiate, call, read, delete."""
    library = str(ffi.filename)
    free, held = ctypes.CDLL(library), ctypes.PyDLL(library)

    def c(name: str, result: Any, *arguments: Any, keep: bool = True) -> Any:
        made = (ctypes.PYFUNCTYPE if keep else ctypes.CFUNCTYPE)(result, *arguments)
        return made((f"wasmtime_{name}", held if keep else free))

    p = c_void_p
    store_new, store_delete = c("store_new", p, p, p, p), c("store_delete", None, p)
    context_of = c("store_context", p, p)
    limit = c("store_limiter", None, p, c_int64, c_int64, c_int64, c_int64, c_int64)
    deadline = c("context_set_epoch_deadline", None, p, c_uint64)
    instantiate = c("instance_pre_instantiate", p, p, p, p, p, keep=False)
    export = c("instance_export_get", c_bool, p, p, c_char_p, c_size_t, p)
    data = c("memory_data", p, p, p)
    invoke = c("func_call_unchecked", p, p, p, p, c_size_t, p, keep=False)
    define = c("linker_define_func_unchecked", p, p, c_char_p, c_size_t, c_char_p, c_size_t, p, p, p, p)
    callback = ctypes.CFUNCTYPE(p, p, p, p, c_size_t)

    def address(thing: Any) -> Any:
        return ctypes.cast(thing.ptr(), p).value

    extern, inside = ctypes.sizeof(ffi.wasmtime_extern_t), ffi.wasmtime_extern_t.of.offset
    pooled = engine(pool=True)
    module = wasmtime.Module(pooled, wasm)
    linker = wasmtime.Linker(pooled)
    state = __import__("threading").local()

    def kv(env: Any, caller: Any, raw: int, count: int) -> None:
        values = (c_int64 * 8).from_address(raw)
        base = data(state.context, state.memory)
        answer = work.kv(ctypes.string_at(base + (values[0] & 0xFFFFFFFF), values[2] & 0xFFFFFFFF))
        ctypes.memmove(base + (values[4] & 0xFFFFFFFF), answer, len(answer))
        values[0] = len(answer)

    held_alive = [callback(kv), callback(lambda env, caller, raw, count: None), *types().values()]
    for place, name in enumerate(("kv", "take")):
        function = ctypes.cast(held_alive[place], p)
        define(
            address(linker), b"zelavis_v1", 10, name.encode(), len(name), address(held_alive[place + 2]), function, 0, 0
        )
    prepared = linker.instantiate_pre(module)
    engine_address, prepared_address, text = address(pooled), address(prepared), work.envelope()

    def call() -> bytes:
        buffer = ctypes.create_string_buffer(16 + 3 * extern + 96)
        base = ctypes.addressof(buffer)
        memory, alloc, run = (base + 16 + place * extern for place in range(3))
        values_at = base + 16 + 3 * extern
        values_at += -values_at % 16
        trap = values_at + 48
        values = (c_int64 * 4).from_address(values_at)
        store = store_new(engine_address, None, None)
        try:
            context = context_of(store)
            limit(store, 64 << 20, 20000, 4, 4, 2)
            deadline(context, 20)
            assert not instantiate(prepared_address, context, base, trap)
            assert export(context, base, b"memory", 6, memory)
            assert export(context, base, b"zelavis_alloc", 13, alloc)
            assert export(context, base, b"zelavis_call", 12, run)
            state.context, state.memory = context, memory + inside
            values[0] = len(text)
            assert not invoke(context, alloc + inside, values_at, 1, trap)
            at = values[0] & 0xFFFFFFFF
            ctypes.memmove(data(context, memory + inside) + at, text, len(text))
            values[0], values[2] = at, len(text)
            assert not invoke(context, run + inside, values_at, 2, trap)
            start, size = values[0] >> 32 & 0xFFFFFFFF, values[0] & 0xFFFFFFFF
            return ctypes.string_at(data(context, memory + inside) + start, size)
        finally:
            store_delete(store)

    call.keep = (held_alive, linker, module, prepared, pooled)  # type: ignore[attr-defined]
    return call


def main() -> None:
    count, seconds, path, name = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    wasm = path.read_bytes()
    for title, make in (
        ("wasmtime public API", public_call),
        ("least store cycle over the C API", least_call),
    ):
        call = make(wasm)
        if name != "tiny":
            work.check(call())
        emit(measured(f"{title}, {name}", call, count=count, seconds=seconds, fresh="yes"))


if __name__ == "__main__":
    main()
