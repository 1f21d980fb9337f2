"""The fast way to run a module: wasmtime's documented C API, called directly. The one file that does.

The public Python interface rebuilds types and lists exports at every call and cannot configure the pool of instances.
This file uses the C functions in the wheel's own library. It is an optimisation and never a dependency: it serves only
where ``sandbox.selftest`` ran it in a child process, and ``sandbox.portable`` does the same through the public
interface.

What must hold here, each once broken and then learnt: callbacks and the linker live as long as any ``InstancePre``;
no Python exception crosses into C; memory may move at every call into the guest; every pointer of the guest is a u32
and checked; an error, a trap and a store are each deleted exactly once.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from ctypes import POINTER, addressof, c_bool, c_char_p, c_int64, c_size_t, c_uint64, c_void_p, memmove, string_at
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

from sandbox import abi, engine
from sandbox.abi import Invocation, Stop
from sandbox.outcome import OutcomeStatus
from sandbox.slices import Slices, where

_library = str(ffi.filename)
_releasing = ctypes.CDLL(_library)
_holding = ctypes.PyDLL(_library)


def _free(name: str, result: Any, *arguments: Any) -> Any:
    """A C function that runs guest code: other Python threads go on meanwhile."""
    return ctypes.CFUNCTYPE(result, *arguments)((name, _releasing))


def _held(name: str, result: Any, *arguments: Any) -> Any:
    """A C function that is over before another thread could be woken."""
    return ctypes.PYFUNCTYPE(result, *arguments)((name, _holding))


P = c_void_p
_store_new = _held("wasmtime_store_new", P, P, P, P)
_store_context = _held("wasmtime_store_context", P, P)
_store_delete = _held("wasmtime_store_delete", None, P)
_store_limiter = _held("wasmtime_store_limiter", None, P, c_int64, c_int64, c_int64, c_int64, c_int64)
_set_deadline = _held("wasmtime_context_set_epoch_deadline", None, P, c_uint64)
_set_fuel = _held("wasmtime_context_set_fuel", P, P, c_uint64)
_get_fuel = _held("wasmtime_context_get_fuel", P, P, P)
_instantiate_pre = _free("wasmtime_instance_pre_instantiate", P, P, P, P, P)
_instance_new = _free("wasmtime_instance_new", P, P, P, P, c_size_t, P, P)
_export_get = _held("wasmtime_instance_export_get", c_bool, P, P, c_char_p, c_size_t, P)
_linker_get = _held("wasmtime_linker_get", c_bool, P, P, c_char_p, c_size_t, c_char_p, c_size_t, P)
_linker_define = _held(
    "wasmtime_linker_define_func_unchecked", P, P, c_char_p, c_size_t, c_char_p, c_size_t, P, P, P, P
)
_memory_data = _held("wasmtime_memory_data", P, P, P)
_memory_size = _held("wasmtime_memory_data_size", c_size_t, P, P)
_call = _free("wasmtime_func_call_unchecked", P, P, P, P, c_size_t, P)
_trap_new = _held("wasmtime_trap_new", P, c_char_p, c_size_t)
_advance = _held("wasmtime_engine_increment_epoch", None, P)

_CALLBACK = ctypes.CFUNCTYPE(P, P, P, P, c_size_t)
_EXTERN = ctypes.sizeof(ffi.wasmtime_extern_t)
_OF = ffi.wasmtime_extern_t.of.offset
_U32 = 0xFFFFFFFF

# One block of memory for the small C values of a run: instance, second instance, externs, raw values, trap.
_INSTANCE, _INSTANCE_2, _EXTERNS = 0, 16, 32
_MEMORY, _ALLOC, _RUN, _IMPORTS = (_EXTERNS + n * _EXTERN for n in range(4))
_VALUES = -(-(_IMPORTS + 3 * _EXTERN) // 16) * 16
_TRAP = _VALUES + 48
_BLOCK = _TRAP + 16


class _Running(threading.local):
    invocation: Invocation | None = None


_running = _Running()
_slices = Slices(lambda: _running.invocation)


def _address(owner: Any) -> int:
    address = ctypes.cast(owner.ptr(), P).value
    if address is None:
        raise RuntimeError("a C object is gone")
    return address


def make_engine(profile: engine.Profile, *, slots: int) -> wasmtime.Engine:
    """An engine whose instances come from a pool of ``slots``.

    A used slot is set back by copying what the call changed, without a system call: the biggest single gain. The price
    is that slots which were used stay resident, at most 2 MiB each.
    """
    config = engine.config(profile)
    pool = ffi.wasmtime_pooling_allocation_config_new()
    for name, value in (
        ("total_core_instances", slots * 2),
        ("total_memories", slots),
        ("total_tables", slots * 2),
        # By default a hundred at most: with more plugins in turn every call would map its memory anew, page by page.
        ("max_unused_warm_slots", slots),
        ("max_memory_size", engine.MAX_MEMORY_BYTES),
        ("table_elements", engine.MAX_TABLE_ELEMENTS),
        ("linear_memory_keep_resident", 2 << 20),
        ("table_keep_resident", 64 << 10),
        ("max_memories_per_module", 1),
        ("max_tables_per_module", 2),
        ("max_core_instance_size", 4 << 20),
    ):
        getattr(ffi, f"wasmtime_pooling_allocation_config_{name}_set")(pool, value)
    ffi.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
    ffi.wasmtime_pooling_allocation_config_delete(pool)
    return wasmtime.Engine(config)


class Machine:
    """The host functions of one engine, defined once. Which run they serve is known by thread."""

    def __init__(self, made: wasmtime.Engine, families: tuple[str, ...]) -> None:
        self.engine = made
        self.linker = wasmtime.Linker(made)
        #: Stores that were opened on it so far.
        self.opened = 0
        self._kept: list[Any] = []
        i32 = wasmtime.ValType.i32
        for family in families:
            self._define(abi.MODULE, family, [i32()] * 4, [i32()], _family_call(family))
        self._define(abi.MODULE, "take", [i32()], [], _take)
        self._define(abi.ENGINE_MODULE, "call", [i32()] * 6, [i32()], _engine_call)
        self._define(abi.ENGINE_MODULE, "take", [i32()], [], _take)

    def _define(
        self,
        module: str,
        name: str,
        parameters: list[wasmtime.ValType],
        results: list[wasmtime.ValType],
        function: Callable[[int], None],
    ) -> None:
        def entered(environment: int, caller: int, values: int, count: int) -> int | None:
            try:
                function(values)
            except BaseException as error:  # noqa: BLE001  kept for the run, which tells it; C must never see it
                invocation = _running.invocation
                if invocation is not None:
                    invocation.failure = error
                trap: int = _trap_new(b"host", 4)
                return trap
            return None

        callback = _CALLBACK(entered)
        kind = wasmtime.FuncType(parameters, results)
        self._kept += [callback, kind]
        error = _linker_define(
            _address(self.linker),
            module.encode(),
            len(module.encode()),
            name.encode(),
            len(name.encode()),
            _address(kind),
            ctypes.cast(callback, P),
            None,
            None,
        )
        if error:
            raise RuntimeError(f"cannot define {module}.{name}: {_owned(error)}")

    def advance(self) -> None:
        """One tick of the epoch."""
        _advance(_address(self.engine))

    def load(self, module: wasmtime.Module, *, over: wasmtime.Module | None = None) -> Program:
        """Make a module ready to be called; ``over``: the JavaScript engine, when ``module`` is an image.

        Raises:
            wasmtime.WasmtimeError: it imports what there is not.
        """
        return Program(self, module, over)


class Program:
    """A module with its imports resolved, or an image and the engine to be put over it."""

    def __init__(self, machine: Machine, module: wasmtime.Module, over: wasmtime.Module | None) -> None:
        self._machine = machine
        self._modules = (module, over)
        linker = machine.linker if over is None else wasmtime.Linker(machine.engine)
        self._linker = linker
        self._prepared = linker.instantiate_pre(module)
        self._pre = _address(self._prepared)
        self._engine = _address(machine.engine)
        self._host_linker = _address(machine.linker)
        self._over = _address(over) if over is not None else None
        self._imports: list[tuple[bytes, int, bytes, int] | None] = []
        for one in over.imports if over is not None else ():
            module_name, name = one.module.encode(), (one.name or "").encode()
            host = one.module != "image"
            self._imports.append((module_name, len(module_name), name, len(name)) if host else None)

    def run(self, payload: bytes, invocation: Invocation) -> bytes:
        """One store, one call, dropped.

        Raises:
            Stop: there is no answer.
        """
        block = ctypes.create_string_buffer(_BLOCK)
        base = addressof(block)
        outer, _running.invocation = _running.invocation, invocation
        store = _store_new(self._engine, None, None)
        self._machine.opened += 1
        try:
            context = invocation.context = _store_context(store)
            _store_limiter(store, invocation.memory_limit, invocation.table_limit, 2, 2, 1)
            _set_deadline(context, _slices.first(store, invocation))
            if invocation.fuel is not None:
                _set_fuel(context, invocation.fuel)
            try:
                return self._run(context, base, payload, invocation)
            finally:
                if invocation.memory is not None:
                    invocation.memory_used = _memory_size(context, invocation.memory)
                if invocation.fuel is not None:
                    left = c_uint64()
                    _get_fuel(context, addressof(left))
                    invocation.fuel_used = invocation.fuel - left.value
        finally:
            _running.invocation = outer
            _store_delete(store)
            invocation.context = invocation.memory = None

    def _run(self, context: int, base: int, payload: bytes, invocation: Invocation) -> bytes:
        values = (c_int64 * 8).from_address(base + _VALUES)
        trap = base + _TRAP
        instance = base + _INSTANCE
        error = _instantiate_pre(self._pre, context, instance, trap)
        if error or values[6]:
            raise _stop(invocation, error, values[6])
        if not _export_get(context, instance, b"memory", 6, base + _MEMORY):
            raise Stop(OutcomeStatus.TRAP, "abi_mismatch", "The module exports no memory.")
        memory = base + _MEMORY + _OF
        if self._over is not None:
            at = base + _IMPORTS
            for name in self._imports:
                if name is None:
                    memmove(at, base + _MEMORY, _EXTERN)
                else:
                    _linker_get(self._host_linker, context, *name, at)
                at += _EXTERN
            instance = base + _INSTANCE_2
            error = _instance_new(context, self._over, base + _IMPORTS, len(self._imports), instance, trap)
            if error or values[6]:
                raise _stop(invocation, error, values[6])
        invocation.memory = memory
        if not (
            _export_get(context, instance, b"zelavis_alloc", 13, base + _ALLOC)
            and _export_get(context, instance, b"zelavis_call", 12, base + _RUN)
        ):
            raise Stop(OutcomeStatus.TRAP, "abi_mismatch", "The module lacks an export of ABI v1.")
        size = len(payload)
        values[0] = size
        error = _call(context, base + _ALLOC + _OF, base + _VALUES, 1, trap)
        if error or values[6]:
            raise _stop(invocation, error, values[6])
        pointer = values[0] & _U32
        if not pointer:
            raise abi.no_memory()
        if pointer + size > _memory_size(context, memory):
            raise abi.bad_pointer("room for its input")
        memmove(_memory_data(context, memory) + pointer, payload, size)
        values[0], values[2] = pointer, size
        error = _call(context, base + _RUN + _OF, base + _VALUES, 2, trap)
        if error or values[6]:
            raise _stop(invocation, error, values[6])
        pointer, size = (values[0] >> 32) & _U32, values[0] & _U32
        if size > invocation.output_limit:
            raise abi.too_large(size, invocation.output_limit)
        if pointer + size > _memory_size(context, memory):
            raise abi.bad_pointer("its answer")
        return string_at(_memory_data(context, memory) + pointer, size)


def _family_call(family: str) -> Callable[[int], None]:
    def call(raw: int) -> None:
        values = (c_int64 * 8).from_address(raw)
        values[0] = _host_call(family, values[0] & _U32, values[2] & _U32, values[4] & _U32, values[6] & _U32)

    return call


def _engine_call(raw: int) -> None:
    values = (c_int64 * 12).from_address(raw)
    invocation = _running.invocation
    if invocation is None or invocation.memory is None:
        raise abi.too_early()
    pointer, length = values[0] & _U32, values[2] & _U32
    if pointer + length > _memory_size(invocation.context, invocation.memory):
        raise abi.bad_pointer("a name")
    family = string_at(_memory_data(invocation.context, invocation.memory) + pointer, length).decode("utf-8", "replace")
    values[0] = _host_call(family, values[4] & _U32, values[6] & _U32, values[8] & _U32, values[10] & _U32)


def _host_call(family: str, request: int, length: int, buffer: int, capacity: int) -> int:
    invocation = _running.invocation
    if invocation is None or invocation.memory is None:
        raise abi.too_early()
    context, memory = invocation.context, invocation.memory
    size = _memory_size(context, memory)
    if request + length > size or buffer + capacity > size:
        raise abi.bad_pointer("a request or a buffer")
    # It stays where it is while the host answers: the guest does not run.
    start = _memory_data(context, memory)
    answer = invocation.dispatch(family, string_at(start + request, length))
    if len(answer) <= capacity:
        memmove(start + buffer, answer, len(answer))
        invocation.pending = None
    else:
        invocation.pending = answer
    return len(answer)


def _take(raw: int) -> None:
    invocation = _running.invocation
    if invocation is None or invocation.memory is None:
        raise abi.too_early()
    answer, invocation.pending = invocation.pending, None
    if answer is None:
        raise abi.nothing_to_take()
    pointer = c_int64.from_address(raw).value & _U32
    if pointer + len(answer) > _memory_size(invocation.context, invocation.memory):
        raise abi.bad_pointer("a buffer")
    memmove(_memory_data(invocation.context, invocation.memory) + pointer, answer, len(answer))


def _owned(error: int) -> wasmtime.WasmtimeError:
    return wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, POINTER(ffi.wasmtime_error_t)))


def _stop(invocation: Invocation, error: int | None, trap: int | None) -> Stop:
    """What ended the run, as a stop; frees the error or trap."""
    told: Stop | None = None
    if trap:
        told = abi.trapped(wasmtime.Trap._from_ptr(ctypes.cast(trap, POINTER(ffi.wasm_trap_t))))
    elif error:
        owned = _owned(error)
        told = abi.not_instantiated(str(owned))
        return abi.failed(invocation, where=lambda: where(owned)) or told
    return abi.failed(invocation) or told or abi.failed_without_reason()
