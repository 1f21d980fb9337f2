"""What an inline workflow's body is given."""

from __future__ import annotations

import contextlib
import hashlib
import random
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from django.db import Error as DatabaseError

from runs import commits, jsontext, links, protocol, states
from runs.authoring import waits
from runs.authoring.failures import Compensate, Parked, StepFailed
from runs.authoring.steps import Order, Retries, Undo, attempt
from runs.authoring.streaming import Sender, chunk
from runs.authoring.waits import Duration, OnTimeout, Token, Waitable
from runs.errors import NotCommitted
from runs.held import Held
from runs.jsontext import ABSENT
from runs.models import JournalEntry
from runs.protocol import Wait


@contextlib.contextmanager
def _committing() -> Iterator[None]:
    """The database's errors are not the author's: they end the drive, whatever the body catches."""
    try:
        yield
    except DatabaseError as error:
        raise NotCommitted from error


class Metadata:
    """Notes on the run that anybody may read while it goes on. Every change is made once, whatever is replayed."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []

    def set(self, key: str, value: Any) -> None:
        """Set a member."""
        self.updates.append({"op": "set", "key": key, "value": jsontext.checked(value)})

    def increment(self, key: str, by: float = 1) -> None:
        """Add to a number; missing counts as 0."""
        self.updates.append({"op": "increment", "key": key, "value": jsontext.checked(by)})

    def append(self, key: str, value: Any) -> None:
        """Add to a list; missing counts as empty."""
        self.updates.append({"op": "append", "key": key, "value": jsontext.checked(value)})

    def remove(self, key: str) -> None:
        """Remove a member."""
        self.updates.append({"op": "remove", "key": key})


class Context:
    """See :mod:`runs.authoring`. One for each pass through the body; not for use from several threads."""

    def __init__(self, held: Held, *, durable_steps: bool) -> None:
        self._held = held
        self._durable = durable_steps
        # Durable: what is journaled goes straight into the driver's copy. Otherwise the driver finds the difference.
        self._steps = held.steps if durable_steps else dict(held.steps)
        self._undone = held.compensations if durable_steps else dict(held.compensations)
        self._streamed = held.streams if durable_steps else dict(held.streams)
        inherited = set((held.meta.get("provenance") or {}).get("inheritedSteps", ()))
        self._order = Order(held.steps, inherited)
        self._counter = 0
        self._asked: set[str] = set()
        self._now = held.started_at
        self._undo: list[tuple[str, Undo, Any]] = []
        self.waits: list[Wait] = []
        self.chunks: list[dict[str, Any]] = []
        #: Notes on the run.
        self.metadata = Metadata()
        #: Random numbers that are the same on every replay.
        self.random = random.Random(hashlib.sha256(held.id.encode()).digest())  # noqa: S311  replay, not secrecy

    # -- what the run is ------------------------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._held.id

    @property
    def tenant(self) -> dict[str, Any]:
        """``tenantMeta`` of the trigger."""
        return dict(self._held.meta["tenantMeta"])

    @property
    def tags(self) -> list[str]:
        """The run's tags."""
        return list(self._held.meta["tags"])

    def now(self) -> datetime:
        """The time by the journal: when the last replayed step or wait ended. The same on every replay."""
        return datetime.fromtimestamp(self._now / 1000, UTC)

    def uuid(self) -> uuid.UUID:
        """A random UUID that is the same on every replay."""
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    # -- doing ----------------------------------------------------------------------------------------------------

    def step(
        self,
        name: str,
        function: Callable[[], Any],
        *,
        retries: Retries | None = None,
        compensate: Undo | None = None,
    ) -> Any:
        """Run ``function`` once in the run's life and give its JSON result, now and on every replay.

        ``compensate`` is called with the result when the body fails later.

        Raises:
            StepFailed: it raised, after all tries.
            runs.errors.DeterminismError: the journal has another step at this place.
        """
        if not 0 < len(name) <= 400 or "\x00" in name:
            raise ValueError("a step needs a name of 1 to 400 characters")
        entry = self._steps.get(name)
        if entry is None:
            self._order.fresh(f"the new step {name!r}")
            entry = self._run(name, function, retries or Retries(attempts=1))
            self._steps[name] = entry
            if self._durable:
                with _committing():
                    commits.step(self._held, JournalEntry.STEP, name, entry)
        elif name not in self._asked:
            self._order.replayed(name)
        self._asked.add(name)
        self._now = max(self._now, entry["finishedAt"])
        if entry["status"] == "err":
            raise StepFailed(name, entry["error"])
        if compensate is not None and name not in (done for done, _, _ in self._undo):
            self._undo.append((name, compensate, jsontext.copied(entry.get("output"))))
        # A body may change what it is given; a later pass is given it as it was.
        return jsontext.copied(entry.get("output"))

    def _run(self, name: str, function: Callable[[], Any], retries: Retries) -> dict[str, Any]:
        number = 1
        while f"step-retry:{name}:{number}" in self._held.resolved:
            number += 1
        waiting = f"step-retry:{name}:{number}"
        if retries.attempts > 1 and len(waiting) > protocol.LONGEST_NAME:
            raise ValueError("a step that is tried again needs a shorter name")
        if waiting in self._held.pending:
            # Something else woke the run: the try is not due yet.
            self._park([Wait(waiting, states.DATETIME, {"step": name, "attempt": number})])
        entry, failure = attempt(function, number)
        delay = None if failure is None else retries.pause_before(number, failure)
        if delay is None:
            return entry
        meta = {"durationMs": waits.milliseconds(delay), "step": name, "attempt": number, "error": entry["error"]}
        self._park([Wait(waiting, states.DATETIME, meta, waits.milliseconds(delay))])
        raise AssertionError("parked")

    def compensate(self) -> None:
        """Undo everything that registered a compensation, and end the run as ``compensated``."""
        raise Compensate

    # -- waiting --------------------------------------------------------------------------------------------------

    def sleep(self, duration: Duration) -> None:
        """Wait for seconds, or a ``timedelta``, without holding a worker. Survives restarts."""
        self.wait(self.timer(duration))

    def wait_for_event(
        self, event_type: str, *, timeout: Duration | None = None, on_timeout: OnTimeout = "none"
    ) -> Any:
        """The payload of the next event of this type sent to this run; ``None`` after the timeout."""
        return self.wait(self.event(event_type, timeout=timeout, on_timeout=on_timeout))

    def wait_for_signal(self, name: str, *, timeout: Duration | None = None, on_timeout: OnTimeout = "none") -> Any:
        """The payload of the next signal of this name; ``None`` after the timeout."""
        return self.wait(self.signal(name, timeout=timeout, on_timeout=on_timeout))

    def token(self, token_id: str | None = None, *, valid: Duration = 7 * 86400) -> Token:
        """A question to a human; see :class:`~runs.authoring.waits.Token`. Its link is good for ``valid``."""
        name = token_id or f"tok_{self._next()}"
        expires = self._now + waits.milliseconds(valid)
        return Token(name, links.url(self._held.id, name, expires_at=expires), self.wait)

    def invoke(
        self,
        workflow: str,
        given: Any = ABSENT,
        *,
        detach: bool = False,
        tags: Iterable[str] = (),
        on_cancel: Literal["cancel", "detach"] = "cancel",
    ) -> Any:
        """Start a run of another workflow and give its output. Detached: start it and go on.

        Raises:
            ChildFailed: it did not complete.
        """
        return self.wait(self.child(workflow, given, detach=detach, tags=tags, on_cancel=on_cancel))

    def timer(self, duration: Duration) -> Waitable:
        """For :meth:`wait_any`: the passing of time."""
        return waits.timer(self._next(), duration)

    def event(self, event_type: str, *, timeout: Duration | None = None, on_timeout: OnTimeout = "none") -> Waitable:
        """For :meth:`wait_all` and :meth:`wait_any`: an event."""
        return waits.event(self._next(), event_type, timeout, on_timeout)

    def signal(self, name: str, *, timeout: Duration | None = None, on_timeout: OnTimeout = "none") -> Waitable:
        """For :meth:`wait_all` and :meth:`wait_any`: a signal."""
        return waits.signal(self._next(), name, timeout, on_timeout)

    def child(
        self,
        workflow: str,
        given: Any = ABSENT,
        *,
        detach: bool = False,
        tags: Iterable[str] = (),
        on_cancel: Literal["cancel", "detach"] = "cancel",
    ) -> Waitable:
        """For :meth:`wait_all` and :meth:`wait_any`: a child run."""
        return waits.child(self._next(), workflow, given, detach=detach, tags=list(tags), on_cancel=on_cancel)

    def wait(self, waitable: Waitable) -> Any:
        """Wait for one."""
        return self.wait_all(waitable)[0]

    def wait_all(self, *waitables: Waitable) -> list[Any]:
        """Wait until all are over; their results in the order given."""
        missing = [each.wait for each in waitables if each.wait.key not in self._held.resolved]
        if missing:
            self._park(missing)
        entries = [self._held.resolved[each.wait.key] for each in waitables]
        self._now = max([self._now, *(entry["resolvedAt"] for entry in entries)])
        return [each.result(entry) for each, entry in zip(waitables, entries, strict=True)]

    def wait_any(self, *waitables: Waitable) -> tuple[int, Any]:
        """Wait until one is over; its position and its result. The others are no longer waited for."""
        positions = {each.wait.key: position for position, each in enumerate(waitables)}
        # The journal's order tells which came first, the same on every replay.
        for key, entry in self._held.resolved.items():
            if key in positions:
                self._now = max(self._now, entry["resolvedAt"])
                return positions[key], waitables[positions[key]].result(entry)
        self._park([each.wait for each in waitables])
        raise AssertionError("parked")

    # -- telling --------------------------------------------------------------------------------------------------

    def stream(
        self, stream_id: str, items: Iterable[Any], *, encoding: Literal["text", "json", "base64"] = "json"
    ) -> None:
        """Send pieces to whoever follows the run, as ``items`` gives them. A complete stream is not sent again.

        One that was cut off is sent anew, from the beginning, in the place of what there was.
        """
        if not stream_id or not protocol.fits(stream_id):
            raise ValueError("a stream needs an id of 1 to 400 characters")
        if stream_id in self._streamed:
            return
        if self._durable:
            self._streamed[stream_id] = Sender(self._held, stream_id, encoding, _committing).send(items)
            return
        seq = 0
        for seq, item in enumerate(items, 1):
            self.chunks.append(chunk(stream_id, seq, encoding, item, final=False))
        self.chunks.append(chunk(stream_id, seq + 1, encoding, None, final=True))
        self._streamed[stream_id] = {"chunkCount": seq + 1}

    # -- the pass -------------------------------------------------------------------------------------------------

    def finished(self, status: str, **members: Any) -> protocol.StepResponse:
        """The answer of this pass."""
        if status != states.FAILED:
            self._order.fresh("its end" if status != states.WAITING else "a wait")
        return protocol.StepResponse(
            status=status,
            steps=self._steps,
            waits=self.waits,
            metadata_updates=self.metadata.updates,
            chunks=self.chunks,
            streams_completed=self._streamed,
            compensations_run=self._undone,
            **members,
        )

    def undo(self) -> list[dict[str, Any]]:
        """Run the compensations, last registered first; each once in the run's life. Their reports, in order."""
        reports = []
        for name, function, output in reversed(self._undo):
            done = self._undone.get(name)
            if done is None:
                entry, _ = attempt(lambda function=function, output=output: function(output), 1)  # type: ignore[misc]
                done = {"status": entry["status"], "finishedAt": entry["finishedAt"]}
                done |= {"error": entry["error"]} if "error" in entry else {}
                done["durationMs"] = entry["finishedAt"] - entry["startedAt"]
                self._undone[name] = done
                if self._durable:
                    with _committing():
                        commits.step(self._held, JournalEntry.COMPENSATION, name, done)
            reports.append({"stepId": name, **done})
        return reports

    def _next(self) -> int:
        self._counter += 1
        return self._counter

    def _park(self, missing: list[Wait]) -> None:
        self.waits += missing
        raise Parked
