"""End calls that are running: all of a plugin's, of a version's or of a digest's, now.

In this process :func:`interrupt` does it: the guest stops within a tenth of a second, a request it waits for is cut
off, nothing it wrote is stored, and its outcome is ``cancelled``. In other processes :data:`WATCHES` do it: whoever may
forbid a plugin fills them in ``AppConfig.ready``, and they are asked, four times a second, which of the calls that run
here must end. Only calls that have been running for a tenth of a second are asked about, so a short call costs no
question, and a process in which nothing runs asks none.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from sandbox.artifact import Artifact
    from sandbox.call import Call

#: Seconds between two questions to the watches.
EVERY = 0.25
#: Seconds for which the asking thread stays awake when the last long call has ended.
_LINGER = 1.0
logger = logging.getLogger("sandbox.interrupts")


@dataclass(frozen=True, kw_only=True)
class Running:
    """A call that runs in this process, as a watch sees it."""

    #: The invocation's id.
    id: str
    plugin: str
    version: str
    #: sha256 of the source that runs.
    digest: str
    hook: str
    #: When it began here. A plugin that was stopped after this must end this call, even if it serves again by now.
    started_at: datetime


#: Which of these calls must end: invocation id to the reason, for operators. Asked in a thread of its own with a
#: database connection of its own, never inside of a call. What it raises is logged, and it is asked again.
Watch = Callable[[Sequence[Running]], Mapping[str, str]]
WATCHES: list[Watch] = []


class Interruptible(Protocol):
    """A call as the sandbox runs it."""

    #: On ``time.monotonic()``.
    began: float
    #: Why it must end; it looks at this a tenth of a second later at the latest.
    interrupted: str | None
    #: What it waits for; shut when it must end.
    connections: tuple[socket.socket, ...]


class _Entry(NamedTuple):
    """A call that runs."""

    call: Call
    artifact: Artifact
    #: Whether the watches are asked about it: tries, tests and replays are nobody's business.
    watched: bool


#: Every call of this process, from before its admission until its end.
_entries: dict[Interruptible, _Entry] = {}
#: Calls that take long, whoever may end them; they share the processors.
_slow: set[Interruptible] = set()
#: When those of them that the watches are asked about began, on the wall clock; filled at their first slice.
_long: dict[Interruptible, datetime] = {}
_awake = threading.Event()
_thread: threading.Thread | None = None
_lock = threading.Lock()


def enter(run: Interruptible, call: Call, artifact: Artifact, *, watched: bool) -> None:
    """A call begins."""
    _entries[run] = _Entry(call, artifact, watched)


def leave(run: Interruptible) -> None:
    """It is over. Whether it was interrupted is in ``run.interrupted``."""
    _entries.pop(run, None)
    if _slow:
        _slow.discard(run)
        _long.pop(run, None)


def interrupt(*, reason: str, plugin: str | None = None, version: str | None = None, digest: str | None = None) -> int:
    """End every call of this process that matches all that is given; how many that were.

    ``reason`` is for operators, in the ledger. Returns at once; the calls end within a tenth of a second.

    Raises:
        ValueError: nothing is given that would match.
    """
    if plugin is None and version is None and digest is None:
        raise ValueError("name a plugin, a version or a digest")
    return _end(
        lambda entry: (
            (plugin is None or entry.call.plugin == plugin)
            and (version is None or entry.call.version == version)
            and (digest is None or entry.artifact.digest == digest)
        ),
        reason,
    )


def is_interrupted(call: Call) -> bool:
    """Whether this call must end. For host calls that wait."""
    return any(run.interrupted is not None for run, entry in list(_entries.items()) if entry.call is call)


@contextlib.contextmanager
def closing(call: Call | None, sock: socket.socket) -> Iterator[None]:
    """While this lasts, interrupting the call shuts the connection, so that whoever reads from it goes on at once.

    Raises:
        OSError: the call was interrupted before.
    """
    run = next((run for run, entry in list(_entries.items()) if entry.call is call), None)
    if run is None:
        yield
        return
    # A second handle on the same connection: TLS replaces the first one.
    handle = socket.socket(fileno=os.dup(sock.fileno()))
    run.connections = (*run.connections, handle)
    notice(run)
    try:
        if run.interrupted is not None:
            raise OSError("the call was interrupted")
        yield
    finally:
        run.connections = tuple(one for one in run.connections if one is not handle)
        handle.close()


def notice(run: Interruptible) -> None:
    """A call takes long: from now on the watches are asked about it."""
    entry = _entries.get(run)
    if entry is None:
        return
    _slow.add(run)
    if not entry.watched or not WATCHES or run in _long:
        return
    _long[run] = datetime.fromtimestamp(time.time() - (time.monotonic() - run.began), tz=UTC)
    global _thread
    with _lock:
        _awake.set()
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_watch, daemon=True, name="sandbox-interrupts")
            _thread.start()


def long_calls() -> int:
    """How many calls of this process have been running for longer than a slice."""
    return len(_slow)


def ask() -> int:
    """Ask the watches once, now; how many calls were ended."""
    running = [
        (run, Running(
            id=entry.call.id, plugin=entry.call.plugin, version=entry.call.version, digest=entry.artifact.digest,
            hook=entry.call.hook, started_at=started_at,
        ))
        for run, started_at in list(_long.items())
        if run.interrupted is None and (entry := _entries.get(run)) is not None
    ]  # fmt: skip
    if not running:
        return 0
    ended = 0
    for watch in WATCHES:
        try:
            must_end = watch([one for _, one in running])
        except Exception:
            # The database is away for a moment: the calls have deadlines of their own, and the next question follows.
            logger.exception("nobody could say which calls must end")
            continue
        for id_, reason in must_end.items():
            ended += _end(lambda entry, id_=id_: entry.call.id == id_, reason)  # type: ignore[misc]
    return ended


def _end(matches: Callable[[_Entry], bool], reason: str) -> int:
    ended = 0
    for run, entry in list(_entries.items()):
        if run.interrupted is None and matches(entry):
            run.interrupted = reason
            ended += 1
            for handle in run.connections:
                # It may have been closed meanwhile: then nobody waits for it any more.
                with contextlib.suppress(OSError):
                    handle.shutdown(socket.SHUT_RDWR)
            logger.warning(
                "call interrupted", extra={"invocation": entry.call.id, "plugin": entry.call.plugin, "reason": reason}
            )
    return ended


def _watch() -> None:
    from django.db import connections

    idle_since: float | None = None
    while True:
        _awake.wait()
        ask()
        if _long:
            idle_since = None
        elif idle_since is None:
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since >= _LINGER:
            idle_since = None
            connections.close_all()
            with _lock:
                if not _long:
                    _awake.clear()
            continue
        time.sleep(EVERY)


def _after_fork() -> None:
    global _lock, _thread, _awake
    _lock, _thread, _awake = threading.Lock(), None, threading.Event()
    # The parent's calls go on in the parent.
    _entries.clear()
    _long.clear()
    _slow.clear()


os.register_at_fork(after_in_child=_after_fork)
