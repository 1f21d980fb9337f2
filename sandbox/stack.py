"""Native stack: how much the present thread has, and a thread with enough for a call where it has too little.

A guest's recursion ends as a trap only if the stack that the engine counts on is really there; on a smaller one it
would end the process. Python's own threads usually have 8 MiB, but a server's may have less: 2 MiB are common in Rust
and on musl. There a call runs on a helper thread, and its host calls are still carried out on the caller's, where the
database connection and the transaction are. That costs some tenths of a millisecond, so a server of plugins gives its
threads enough (granian: ``RUST_MIN_STACK``).
"""

from __future__ import annotations

import ctypes
import queue
import threading
from typing import Any

from sandbox.abi import MAX_NESTING, Invocation
from sandbox.engine import STACK_BYTES

#: What a thread needs: a guest's stack for each nested call, and 2 MiB for the interpreter and host calls.
NEEDED = MAX_NESTING * STACK_BYTES + (2 << 20)
_lock = threading.Lock()


class _Thread(threading.local):
    enough: bool | None = None


_thread = _Thread()


def enough() -> bool:
    """Whether a call can run on this thread; measured once a thread."""
    found = _thread.enough
    if found is None:
        found = _thread.enough = size() >= NEEDED
    return found


def size() -> int:
    """Bytes of this thread's stack; 0 when the platform does not tell."""
    library = ctypes.CDLL(None)
    library.pthread_self.restype = ctypes.c_void_p
    thread = ctypes.c_void_p(library.pthread_self())
    if hasattr(library, "pthread_get_stacksize_np"):
        library.pthread_get_stacksize_np.restype = ctypes.c_size_t
        return int(library.pthread_get_stacksize_np(thread))
    if not hasattr(library, "pthread_getattr_np"):
        return 0
    attributes = ctypes.create_string_buffer(256)
    if library.pthread_getattr_np(thread, attributes):
        return 0
    lowest, found = ctypes.c_void_p(), ctypes.c_size_t()
    failed = library.pthread_attr_getstack(attributes, ctypes.byref(lowest), ctypes.byref(found))
    library.pthread_attr_destroy(attributes)
    return 0 if failed else found.value


def run_on_helper(program: Any, payload: bytes, invocation: Invocation) -> bytes:
    """``program.run`` on a thread with enough stack; host calls come back to this one.

    Raises:
        Stop: as ``program.run``.
    """
    asked: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
    answered: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
    ended: list[bytes | BaseException] = []
    dispatch = invocation.dispatch

    def ask(family: str, request: bytes) -> bytes:
        asked.put((family, request))
        answer = answered.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def work() -> None:
        try:
            ended.append(program.run(payload, invocation))
        except BaseException as error:  # noqa: BLE001  raised again on the caller's thread
            ended.append(error)
        asked.put(None)

    invocation.dispatch = ask
    with _lock:
        # The size is the process's setting for new threads: set it, start, set it back.
        before = threading.stack_size(NEEDED)
        try:
            helper = threading.Thread(target=work, name="sandbox-call", daemon=True)
            helper.start()
        finally:
            threading.stack_size(before)
    while (one := asked.get()) is not None:
        try:
            answered.put(dispatch(*one))
        except BaseException as error:  # noqa: BLE001  ends the guest, which ends this loop
            answered.put(error)
    helper.join()
    outcome = ended[0]
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
