"""The other way to run a module: wasmtime's public Python interface, on every version and platform that it supports.

Slower than ``sandbox.fast`` and equal to it in everything that can be observed: the same tests run against both. Its
engine has no pool; the interface offers none.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any

import wasmtime

from sandbox import abi, engine
from sandbox.abi import Invocation, Stop
from sandbox.outcome import OutcomeStatus
from sandbox.slices import Slices, where

_U32 = 0xFFFFFFFF


class _Running(threading.local):
    invocation: Invocation | None = None


_running = _Running()
_slices = Slices(lambda: _running.invocation)


class _Halt(Exception):
    """Raised by host functions to trap. It says nothing: the binding may hand it to another thread's call."""


def make_engine(profile: engine.Profile, *, slots: int) -> wasmtime.Engine:
    """An engine whose instances are made on demand; ``slots`` bounds nothing here."""
    return wasmtime.Engine(engine.config(profile))


class Machine:
    """The host functions of one engine, defined once. Which run they serve is known by thread."""

    def __init__(self, made: wasmtime.Engine, families: tuple[str, ...]) -> None:
        self.engine = made
        self.linker = wasmtime.Linker(made)
        #: Stores that were opened on it so far.
        self.opened = 0
        for family in families:
            self._define(abi.MODULE, family, 4, _family_call(family), answers=True)
        self._define(abi.MODULE, "take", 1, _take, answers=False)
        self._define(abi.ENGINE_MODULE, "call", 6, _engine_call, answers=True)
        self._define(abi.ENGINE_MODULE, "take", 1, _take, answers=False)

    def _define(self, module: str, name: str, parameters: int, function: Callable[..., Any], *, answers: bool) -> None:
        def entered(*values: int) -> Any:
            try:
                return function(*(value & _U32 for value in values))
            except BaseException as error:  # noqa: BLE001  kept for the run, which tells it; the binding must not see it
                invocation = _running.invocation
                if invocation is not None:
                    invocation.failure = error
                raise _Halt from None

        i32 = wasmtime.ValType.i32
        kind = wasmtime.FuncType([i32()] * parameters, [i32()] if answers else [])
        self.linker.define_func(module, name, kind, entered)

    def advance(self) -> None:
        """One tick of the epoch."""
        self.engine.increment_epoch()

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
        self._over = over
        linker = machine.linker if over is None else wasmtime.Linker(machine.engine)
        self._prepared = linker.instantiate_pre(module)

    def run(self, payload: bytes, invocation: Invocation) -> bytes:
        """One store, one call, dropped.

        Raises:
            Stop: there is no answer.
        """
        outer, _running.invocation = _running.invocation, invocation
        store = wasmtime.Store(self._machine.engine)
        self._machine.opened += 1
        try:
            store.set_limits(
                memory_size=invocation.memory_limit,
                table_elements=invocation.table_limit,
                instances=2,
                tables=2,
                memories=1,
            )
            store.set_epoch_deadline(_slices.first(ctypes.cast(store.ptr(), ctypes.c_void_p).value or 0, invocation))
            if invocation.fuel is not None:
                store.set_fuel(invocation.fuel)
            invocation.context = store
            try:
                return self._run(store, payload, invocation)
            finally:
                if invocation.memory is not None:
                    invocation.memory_used = invocation.memory.data_len(store)
                if invocation.fuel is not None:
                    invocation.fuel_used = invocation.fuel - store.get_fuel()
        except wasmtime.Trap as trap:
            raise abi.failed(invocation) or abi.trapped(trap) from None
        except wasmtime.WasmtimeError as error:
            told = abi.failed(invocation, where=functools.partial(where, error))
            raise told or abi.not_instantiated(str(error)) from None
        except _Halt:
            raise abi.failed(invocation) or abi.failed_without_reason() from None
        finally:
            _running.invocation = outer
            invocation.context = invocation.memory = None
            store.close()

    def _run(self, store: wasmtime.Store, payload: bytes, invocation: Invocation) -> bytes:
        exports = self._prepared.instantiate(store).exports(store)
        memory = exports.get("memory")
        if not isinstance(memory, wasmtime.Memory):
            raise Stop(OutcomeStatus.TRAP, "abi_mismatch", "The module exports no memory.")
        if self._over is not None:
            imports: list[Any] = [
                memory if one.module == "image" else self._machine.linker.get(store, one.module, one.name or "")
                for one in self._over.imports
            ]
            exports = wasmtime.Instance(store, self._over, imports).exports(store)
        invocation.memory = memory
        alloc, run = exports.get("zelavis_alloc"), exports.get("zelavis_call")
        if not isinstance(alloc, wasmtime.Func) or not isinstance(run, wasmtime.Func):
            raise Stop(OutcomeStatus.TRAP, "abi_mismatch", "The module lacks an export of ABI v1.")
        pointer = alloc(store, len(payload)) & _U32
        if not pointer:
            raise abi.no_memory()
        if pointer + len(payload) > memory.data_len(store):
            raise abi.bad_pointer("room for its input")
        memory.write(store, payload, pointer)
        packed = run(store, pointer, len(payload))
        pointer, size = (packed >> 32) & _U32, packed & _U32
        if size > invocation.output_limit:
            raise abi.too_large(size, invocation.output_limit)
        if pointer + size > memory.data_len(store):
            raise abi.bad_pointer("its answer")
        return bytes(memory.read(store, pointer, pointer + size))


def _family_call(family: str) -> Callable[[int, int, int, int], int]:
    def call(request: int, length: int, buffer: int, capacity: int) -> int:
        return _host_call(family, request, length, buffer, capacity)

    return call


def _current() -> Invocation:
    invocation = _running.invocation
    if invocation is None or invocation.memory is None:
        raise abi.too_early()
    return invocation


def _engine_call(name: int, name_length: int, request: int, length: int, buffer: int, capacity: int) -> int:
    invocation = _current()
    if name + name_length > invocation.memory.data_len(invocation.context):
        raise abi.bad_pointer("a name")
    family = bytes(invocation.memory.read(invocation.context, name, name + name_length)).decode("utf-8", "replace")
    return _host_call(family, request, length, buffer, capacity)


def _host_call(family: str, request: int, length: int, buffer: int, capacity: int) -> int:
    invocation = _current()
    memory, store = invocation.memory, invocation.context
    size = memory.data_len(store)
    if request + length > size or buffer + capacity > size:
        raise abi.bad_pointer("a request or a buffer")
    answer = invocation.dispatch(family, bytes(memory.read(store, request, request + length)))
    if len(answer) <= capacity:
        memory.write(store, answer, buffer)
        invocation.pending = None
    else:
        invocation.pending = answer
    return len(answer)


def _take(buffer: int) -> None:
    invocation = _current()
    answer, invocation.pending = invocation.pending, None
    if answer is None:
        raise abi.nothing_to_take()
    if buffer + len(answer) > invocation.memory.data_len(invocation.context):
        raise abi.bad_pointer("a buffer")
    invocation.memory.write(invocation.context, answer, buffer)
