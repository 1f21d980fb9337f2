"""Things to wait for, made by a context and handed to its ``wait`` family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from runs import jsontext, protocol, states
from runs.authoring.failures import ChildFailed, WaitTimeout
from runs.jsontext import ABSENT
from runs.protocol import Wait

Duration = float | int | timedelta
OnTimeout = Literal["none", "raise"]


def milliseconds(duration: Duration) -> int:
    """Whole milliseconds of seconds or of a ``timedelta``; never negative.

    Raises:
        ValueError: longer than a date can hold.
    """
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    if not seconds * 1000 <= protocol.LATEST:
        raise ValueError("a wait is at most as long as a date can hold")
    return max(0, round(seconds * 1000))


@dataclass(frozen=True)
class Waitable:
    """Something that can be waited for, alone or with others."""

    wait: Wait
    on_timeout: OnTimeout = "none"
    #: What the resolution's journal entry means to the body.
    read: Callable[[dict[str, Any]], Any] = field(default=lambda entry: entry.get("payload"), repr=False)

    def __post_init__(self) -> None:
        """What becomes a column has to fit it, as of a tenant's answer.

        Raises:
            ValueError: a name that is empty, too long, or holds a NUL.
        """
        wait, longest = self.wait, protocol.longest_match(self.wait.kind)
        if not protocol.fits(wait.key):
            raise ValueError(f"a name that is waited for is too long or holds a NUL: {wait.key[:60]!r}")
        if wait.kind != states.DATETIME and not 0 < len(wait.match_key) <= longest:
            raise ValueError(f"a name that is waited for has 1 to {longest} characters: {wait.key[:60]!r}")

    def result(self, entry: dict[str, Any]) -> Any:
        """The value for the body.

        Raises:
            WaitTimeout: it timed out and was to raise.
            ChildFailed: the child run did not complete.
        """
        if "error" in entry:
            raise ChildFailed(self.wait.match_key, entry["error"])
        if self.wait.kind in states.INJECTABLE and "payload" not in entry and self.on_timeout == "raise":
            raise WaitTimeout(f"waitpoint {self.wait.key} timed out")
        return jsontext.copied(self.read(entry))


@dataclass(frozen=True)
class Token:
    """A question to a human: give ``url`` to them and :meth:`wait`."""

    id: str
    url: str
    _wait: Callable[[Waitable], Any] = field(repr=False)

    def wait(self, *, timeout: Duration | None = None, on_timeout: OnTimeout = "none") -> Any:
        """The payload of the answer; ``None`` after the timeout."""
        return self._wait(self.waitable(timeout=timeout, on_timeout=on_timeout))

    def waitable(self, *, timeout: Duration | None = None, on_timeout: OnTimeout = "none") -> Waitable:
        """To wait for it together with others."""
        limit = None if timeout is None else milliseconds(timeout)
        return Waitable(Wait(f"token:{self.id}", states.MANUAL, {"tokenId": self.id}, limit), on_timeout)


def event(n: int, event_type: str, timeout: Duration | None, on_timeout: OnTimeout) -> Waitable:
    """An event of a type, sent to this run."""
    limit = None if timeout is None else milliseconds(timeout)
    return Waitable(Wait(f"event:{event_type}:{n}", states.EVENT, {"eventType": event_type}, limit), on_timeout)


def signal(n: int, name: str, timeout: Duration | None, on_timeout: OnTimeout) -> Waitable:
    """A named signal, sent to this run."""
    limit = None if timeout is None else milliseconds(timeout)
    return Waitable(Wait(f"signal:{name}:{n}", states.SIGNAL, {"signalName": name}, limit), on_timeout)


def timer(n: int, duration: Duration) -> Waitable:
    """The passing of time."""
    ms = milliseconds(duration)
    return Waitable(Wait(f"sleep:{n}", states.DATETIME, {"durationMs": ms}, ms), read=lambda _: None)


def child(n: int, workflow: str, given: Any, *, detach: bool, tags: list[str], on_cancel: str) -> Waitable:
    """The end of a run of another workflow."""
    meta: dict[str, Any] = {"childWorkflowId": workflow}
    if given is not ABSENT:
        meta["childInput"] = jsontext.checked(given)
    meta |= {"detach": detach, "tags": jsontext.checked(tags)}
    if on_cancel == "detach":
        meta["detachOnCancel"] = True
    return Waitable(Wait(f"invoke:{workflow}:{n}", states.RUN, meta))
