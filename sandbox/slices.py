"""Long calls run in slices: at the end of each the host looks whether the call may go on.

A store's deadline cannot be moved from another thread, so a call that has longer than a slice gets its time slice by
slice, by the engine's own callback, which is part of the documented C API and not of the Python interface. Where a
build lacks it, calls get their whole time at once, and an interruption is noticed when they end.

When more calls take long than there are processors, each rests between its slices, so that together they want no more
than the processors: a hundred that loop leave the host and short calls room, and none of them would be faster alone.
"""

from __future__ import annotations

import ctypes
import os
import random
import time
from collections.abc import Callable
from ctypes import c_char_p, c_uint64, c_void_p
from typing import Any

import wasmtime

from sandbox import abi, interrupts
from sandbox.abi import Invocation
from sandbox.ticker import TICK_MS

#: Ticks of a slice: a tenth of a second.
TICKS = 20
_SECONDS = TICKS * TICK_MS / 1000
_PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_CALLBACK = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
_attach: Any = None
_error_new: Any = None
try:
    from wasmtime import _ffi as ffi
    from wasmtime._trap import Frame, FrameList

    # Held: both are over before another Python thread could be woken.
    _holding = ctypes.PyDLL(str(ffi.filename))
    _error_new = ctypes.PYFUNCTYPE(c_void_p, c_char_p)(("wasmtime_error_new", _holding))
    _attach = ctypes.PYFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_void_p)(
        ("wasmtime_store_epoch_deadline_callback", _holding)
    )
except (AttributeError, ImportError, OSError):
    # Not this build's. What follows is reached with ``_attach`` alone.
    _attach = None


class Slices:
    """Gives the calls of one way to run modules their slices. Lives as long as any store that it was attached to."""

    def __init__(self, current: Callable[[], Invocation | None]) -> None:
        """``current`` is the call that runs on the asking thread."""

        def ended(context: int, data: int, delta: int, kind: int) -> int | None:
            try:
                ticks = _more(current())
            except BaseException:  # noqa: BLE001  C must never see it; a call of which nothing is known ends
                ticks = 0
            if ticks:
                c_uint64.from_address(delta).value = ticks
                return None
            error: int = _error_new(b"stopped")
            return error

        self._callback = _CALLBACK(ended)
        self._address = ctypes.cast(self._callback, c_void_p).value

    def first(self, store: int, run: Invocation) -> int:
        """The ticks of the first slice, after which the store asks for more."""
        if run.ticks <= TICKS or _attach is None:
            return run.ticks
        # The first tick has begun already, see ``ticker.ticks``.
        run.ends_at = time.monotonic() + (run.ticks - 1) * TICK_MS / 1000
        _attach(store, self._address, None, None)
        return TICKS


def _more(run: Invocation | None) -> int:
    """Ticks of the next slice; 0 when there is none."""
    if run is None:
        return 0
    if run.interrupted is None and run.ends_at > time.monotonic():
        interrupts.notice(run)
        _rest(run)
    if run.interrupted is not None:
        run.failure = abi.interrupted(run.interrupted)
        return 0
    left = run.ends_at - time.monotonic()
    if left <= 0:
        run.failure = abi.late()
        return 0
    return min(TICKS, max(1, -int(-left * 1000 // TICK_MS)))


def _rest(run: Invocation) -> None:
    """Stand aside for as long as the calls that take long are too many; an interruption and the deadline end it."""
    crowd = interrupts.long_calls() / _PROCESSORS
    if crowd <= 1:
        return
    # Unequal, or those that began together would always run together.
    until = min(run.ends_at, time.monotonic() + _SECONDS * (crowd - 1) * random.uniform(0.5, 1.5))  # noqa: S311
    while run.interrupted is None and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _SECONDS))


def where(error: wasmtime.WasmtimeError) -> str:
    """The guest's stack at an error."""
    frames = FrameList(error)
    ffi.wasmtime_error_wasm_trace(error.ptr(), ctypes.byref(frames.vec))
    return abi.stack_text([Frame._from_ptr(frames.vec.data[number], frames) for number in range(frames.vec.size)])
