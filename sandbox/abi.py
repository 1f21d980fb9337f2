"""ABI v1: what crosses between host and guest, and how a run that gives no answer is told.

The module's imports are named here, so that a module's import section is the list of what it can do.
"""

from __future__ import annotations

import json
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import wasmtime

from sandbox.call import Call
from sandbox.capabilities import registry, wire
from sandbox.outcome import GuestError, OutcomeStatus

VERSION = 1
#: Imports of a plugin's own module.
MODULE = "zelavis_v1"
#: Imports of the JavaScript engine: one call for every family, because the engine is ours and is the same for all.
ENGINE_MODULE = "zelavis_engine"
#: Families of ABI v1. Capabilities that other apps register are added to these.
FAMILIES = (
    "blobs",
    "content_read",
    "content_write",
    "crypto",
    "documents",
    "email_send",
    "http",
    "kv",
    "log",
    "object",
    "runs_signal",
    "runs_trigger",
    "schedule",
    "secrets",
    "users_read",
)
#: Nesting of calls on one thread: a hook that is fired by a host call of a hook, and no deeper.
MAX_NESTING = 2


def families() -> tuple[str, ...]:
    """Every family there is, with those that other apps registered."""
    known = {capability.import_name for capability in registry.all_capabilities()}
    return tuple(sorted(known.union(FAMILIES)))


class Stop(Exception):
    """The run ended without an answer. Never leaves the sandbox."""

    def __init__(self, status: OutcomeStatus, code: str, message: str, *, detail: str = "", stack: str = "") -> None:
        self.status = status
        self.error = GuestError(name="Stopped", message=message, stack=stack, code=code)
        self.detail = detail
        super().__init__(message)


class Invocation:
    """What one run may use and what is known of it afterwards. Used by one thread."""

    __slots__ = (
        "began",
        "connections",
        "context",
        "dispatch",
        "ends_at",
        "failure",
        "fuel",
        "fuel_used",
        "interrupted",
        "memory",
        "memory_limit",
        "memory_used",
        "output_limit",
        "pending",
        "table_limit",
        "ticks",
    )

    def __init__(
        self,
        dispatch: Callable[[str, bytes], bytes],
        *,
        ticks: int,
        memory_limit: int,
        table_limit: int,
        output_limit: int,
        fuel: int | None = None,
    ) -> None:
        self.dispatch = dispatch
        self.ticks = ticks
        self.memory_limit = memory_limit
        self.table_limit = table_limit
        self.output_limit = output_limit
        self.fuel = fuel
        self.fuel_used: int | None = None
        #: Linear memory at the end, in bytes; it never shrinks, so this is the peak.
        self.memory_used = 0
        #: An answer that did not fit and waits for ``take``.
        self.pending: bytes | None = None
        #: Why a host function stopped the run; set before it traps.
        self.failure: BaseException | None = None
        #: On ``time.monotonic()``: when the call began, and when it must have ended if it is given its time in slices.
        self.began = self.ends_at = time.monotonic()
        #: Why the call must end before its time, for operators; set by ``sandbox.interrupts``.
        self.interrupted: str | None = None
        #: What a host call waits for at present, to be shut when the call is interrupted.
        self.connections: tuple[socket.socket, ...] = ()
        #: The store and its memory; ``memory`` is ``None`` until the module is instantiated.
        self.context: Any = None
        self.memory: Any = None


def envelope(call: Call) -> bytes:
    """The input of ``zelavis_call``.

    Raises:
        ValueError, TypeError: event or settings are not JSON.
    """
    return _encode(
        {
            "abi": VERSION,
            "id": call.id,
            "hook": call.hook,
            "event": call.event,
            "now": call.now_ms,
            "seed": str(call.seed),
            "plugin": {"name": call.plugin, "version": call.version},
            "settings": call.settings,
        }
    ).encode()


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def answer(raw: bytes, *, depth: int) -> Any:
    """The result in a guest's answer.

    Raises:
        Stop: the answer is not ABI v1's, or it is an error: then with the guest's own words.
    """
    try:
        value = wire.decode(raw, depth=depth + 1)
    except wire.WireError as error:
        raise invalid(str(error)) from None
    if not isinstance(value, dict) or len(value) != 1:
        raise invalid('The answer is neither {"ok": …} nor {"error": {…}}.')
    if "ok" in value:
        return value["ok"]
    told = value.get("error")
    if not isinstance(told, dict):
        raise invalid('The answer is neither {"ok": …} nor {"error": {…}}.')
    raise guest_stop(told)


def invalid(message: str) -> Stop:
    """The stop for an answer that cannot be used."""
    return Stop(OutcomeStatus.OUTPUT_INVALID, "output_invalid", message)


#: Codes of the JavaScript engine's own failures.
_STATUS = {
    "rejected": OutcomeStatus.REJECTED,
    "memory_exhausted": OutcomeStatus.MEMORY,
    "output_invalid": OutcomeStatus.OUTPUT_INVALID,
}
_CAPS = {"name": 200, "message": 4000, "stack": 8000, "code": 100}


def guest_stop(error: dict[str, Any]) -> Stop:
    """The stop for an error that the guest reports. Unknown members are ignored, long texts are cut."""
    texts = {
        member: value[:cap] if isinstance(value := error.get(member), str) else "" for member, cap in _CAPS.items()
    }
    stop = Stop(_STATUS.get(texts["code"], OutcomeStatus.TRAP), texts["code"], texts["message"])
    stop.error = GuestError(**{**texts, "name": texts["name"] or "Error"})
    return stop


#: Texts of the stops that both ways to run a module share.
def bad_pointer(what: str) -> Stop:
    """A pointer or length of the guest's lies outside its memory."""
    return Stop(OutcomeStatus.TRAP, "bad_pointer", f"The guest gave {what} outside its memory.")


def too_early() -> Stop:
    """A start function made a host call."""
    return Stop(OutcomeStatus.TRAP, "called_too_early", "A start function cannot make host calls.")


def nothing_to_take() -> Stop:
    """``take`` was called though no answer waits."""
    return Stop(OutcomeStatus.TRAP, "nothing_to_take", "The guest called take, but no answer waits.")


def no_memory() -> Stop:
    """The guest could not make room for the envelope."""
    return Stop(OutcomeStatus.MEMORY, "memory_exhausted", "The guest has no memory left for its input.")


def too_large(size: int, limit: int) -> Stop:
    """The answer is over its limit."""
    return Stop(
        OutcomeStatus.OUTPUT_TOO_LARGE, "output_too_large", f"The answer has {size} bytes; {limit} are allowed."
    )


def trapped(trap: wasmtime.Trap) -> Stop:
    """The stop for a trap of the engine, with the guest's own frames, innermost first."""
    code = trap.trap_code
    kind = code.name.lower() if code is not None else "trap"
    stack = stack_text(trap.frames)
    if kind == "interrupt":
        return late(stack=stack)
    if kind == "out_of_fuel":
        return Stop(OutcomeStatus.FUEL, "fuel", "The call used up its instructions.", stack=stack)
    return Stop(OutcomeStatus.TRAP, kind, f"The guest trapped: {kind.replace('_', ' ')}.", stack=stack)


def stack_text(frames: list[wasmtime.Frame]) -> str:
    """A guest's frames, innermost first, as lines."""
    return "\n".join(
        f"    at {frame.func_name or f'function {frame.func_index}'}"
        # At a call that had no room for its own frame there is no offset.
        + (f" (+{frame.module_offset:#x})" if frame.module_offset < 1 << 32 else "")
        for frame in frames[:20]
    )


def late(*, stack: str = "") -> Stop:
    """The wall clock ran out."""
    return Stop(OutcomeStatus.DEADLINE, "deadline", "The call took longer than it may.", stack=stack)


def interrupted(reason: str, *, stack: str = "") -> Stop:
    """The call was ended from outside, see ``sandbox.interrupts``."""
    return Stop(OutcomeStatus.CANCELLED, "cancelled", "The call was ended by the host.", detail=reason, stack=stack)


_FROM_OUTSIDE = (OutcomeStatus.DEADLINE, OutcomeStatus.CANCELLED)


def failed(invocation: Invocation, *, where: Callable[[], str] | None = None) -> Stop | None:
    """The stop for what the host kept back when it ended the run; ``None`` when it did not. ``where``: the stack."""
    failure = invocation.failure
    if isinstance(failure, Stop) and where is not None and failure.status in _FROM_OUTSIDE:
        failure.error = replace(failure.error, stack=where())
    if failure is None or isinstance(failure, Stop):
        return failure
    detail = "".join(traceback.format_exception(failure)[-12:])
    return Stop(OutcomeStatus.HOST_ERROR, "host_error", "The host failed during the call.", detail=detail)


def failed_without_reason() -> Stop:
    """The stop for an end that the engine does not explain."""
    return Stop(OutcomeStatus.HOST_ERROR, "host_error", "The call ended and nothing says why.")


def not_instantiated(message: str) -> Stop:
    """The stop for an error while a module was instantiated; ``message`` is the engine's."""
    if "concurrent" in message:
        return Stop(OutcomeStatus.BUSY, "busy", "No slot is free.", detail=message)
    if "limit" in message or "memory" in message:
        return Stop(
            OutcomeStatus.MEMORY, "memory_exhausted", "The plugin needs more memory than it may have.", detail=message
        )
    return Stop(OutcomeStatus.HOST_ERROR, "host_error", "The plugin could not be started.", detail=message)
