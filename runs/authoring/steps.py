"""Steps of an inline body: run once, journaled as they finish, undone in reverse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runs import clock, jsontext
from runs.authoring.failures import Fatal, Parked, Retryable, serialized
from runs.errors import DeterminismError, LostClaim, NotCommitted

Undo = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How often a step is tried. Waits between tries are alarms: they hold no worker and survive a restart."""

    attempts: int = 3
    #: Seconds before the second try.
    first: float = 1.0
    #: Each further wait is so many times the one before.
    factor: float = 2.0
    #: Longest wait.
    cap: float = 3600.0

    def pause_before(self, attempt: int, error: Exception) -> float | None:
        """Seconds until the next try after ``attempt`` failed; ``None``: no more tries."""
        if isinstance(error, Fatal) or attempt >= self.attempts:
            return None
        if isinstance(error, Retryable) and error.retry_after is not None:
            return error.retry_after
        return min(self.cap, self.first * self.factor ** (attempt - 1))


class Order:
    """Checks that a replay asks for its journaled steps in their order."""

    def __init__(self, journaled: Mapping[str, Any], inherited: set[str]) -> None:
        self._expected = [name for name in journaled if name not in inherited]
        self._position = 0
        self._inherited = inherited

    def replayed(self, name: str) -> None:
        """The body asked for a journaled step."""
        if name in self._inherited or name in self._expected[: self._position]:
            return
        if self._expected[self._position] != name:
            raise DeterminismError(
                f"the journal's step {self._position + 1} is {self._expected[self._position]!r}, "
                f"but the body now asks for {name!r}"
            )
        self._position += 1

    def fresh(self, what: str) -> None:
        """The body went beyond its journal: nothing journaled may be left over."""
        if self._position < len(self._expected):
            raise DeterminismError(
                f"the journal's step {self._position + 1} is {self._expected[self._position]!r}, "
                f"but the body now reached {what} without it"
            )


def attempt(function: Callable[[], Any], number: int) -> tuple[dict[str, Any], Exception | None]:
    """Run a step once. Returns its journal entry, and the exception when it failed."""
    started = clock.now_ms()
    failure: Exception | None = None
    entry: dict[str, Any] = {"attempt": number}
    try:
        output = function()
        # What cannot be journaled cannot be replayed: it fails here, not at the end of the invocation.
        text = jsontext.dumps(output)
        text.encode("utf-8")
    except (Parked, LostClaim, NotCommitted):
        raise
    except Exception as error:  # noqa: BLE001  the step is the author's code; whatever it raises is its result
        failure = error
        entry |= {"status": "err", "error": serialized(error)}
    else:
        # A copy: the author may keep the object and change it before it is journaled.
        entry |= {"status": "ok", "output": jsontext.loads(text)}
    entry |= {"startedAt": started, "finishedAt": clock.now_ms(), "runtime": "python"}
    return entry, failure
