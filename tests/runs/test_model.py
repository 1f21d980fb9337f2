"""A small model of a run, in memory, against the engine: whatever is done in whatever order, both say the same.

The driver may die at any commit or send on the way; whoever was not answered repeats the request, and a worker goes on.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from runs import alarms, control, engine, inbox, leases, lifecycle, records, registry, sql, states
from runs.authoring import Context, workflow
from runs.errors import AlreadyTerminal
from runs.models import JournalEntry, Run
from tests.runs.conftest import due_now

_numbers = itertools.count(1)
_ran: Counter[tuple[str, str]] = Counter()

OPERATIONS = st.lists(
    st.one_of(
        st.just(("step",)),
        st.just(("sleep",)),
        st.tuples(st.sampled_from(["EVENT", "SIGNAL"]), st.sampled_from(["a", "b"])),
        st.just(("child",)),
        st.just(("both",)),
    ),
    max_size=7,
)


class Died(BaseException):
    """The process of the driver ends here."""


def program(context: Context, given: Any) -> list[Any]:
    """Do the operations one after the other; the payloads that came."""
    got: list[Any] = []
    for number, (kind, *names) in enumerate(given):
        match kind:
            case "step":
                context.step(f"s{number}", lambda number=number: _ran.update([(context.run_id, f"s{number}")]))
            case "sleep":
                context.sleep(3600)
            case "EVENT":
                got.append(context.wait_for_event(names[0]))
            case "SIGNAL":
                got.append(context.wait_for_signal(names[0]))
            case "child":
                got.append(context.invoke("model-child"))
            case "both":
                got += context.wait_all(context.event("a"), context.event("b"))
    return got


class Model:
    """What should be: one process, no database, nobody dies."""

    def __init__(self, operations: list[tuple[str, ...]]) -> None:
        self.operations = operations
        self.position = 0
        self.status = states.RUNNING
        self.got: list[Any] = []
        self.steps: list[str] = []
        self.kept: dict[tuple[str, str], deque[Any]] = defaultdict(deque)
        self.open: list[tuple[str, str]] = []
        self.answers: dict[tuple[str, str], Any] = {}
        self.paused = False
        self.waits = 0

    def go(self) -> None:
        """As far as it gets."""
        while not self.paused and self.status in states.ACTIVE:
            if self.position == len(self.operations):
                self.status, self.open = states.COMPLETED, []
                return
            kind, *names = self.operations[self.position]
            if kind == "step":
                self.steps.append(f"s{self.position}")
            elif kind == "child":
                self.got.append("grown")
            else:
                wanted = {
                    "sleep": [("DATETIME", "")],
                    "both": [("EVENT", "a"), ("EVENT", "b")],
                }.get(kind) or [(kind, names[0])]
                for wait in wanted:
                    if wait not in self.answers and self.kept[wait]:
                        self.answers[wait] = self.kept[wait].popleft()
                self.open = [wait for wait in wanted if wait not in self.answers]
                if self.open:
                    self.status = states.WAITING
                    return
                self.got += [self.answers.pop(wait) for wait in wanted if wait[0] != "DATETIME"]
                self.answers.clear()
            self.status = states.RUNNING
            self.position += 1

    def send(self, wait: tuple[str, str], payload: Any) -> str:
        """An injection; its disposition."""
        if self.status not in states.ACTIVE:
            return states.EXPIRED
        if wait in self.open:
            self.open.remove(wait)
            self.answers[wait] = payload
            self.status = states.RUNNING
            self.go()
            return states.MATCHED
        self.kept[wait].append(payload)
        return states.BUFFERED

    def alarm(self) -> None:
        """Time passes until the sleep is over."""
        if not self.paused and ("DATETIME", "") in self.open:
            self.open.clear()
            self.answers["DATETIME", ""] = None
            self.go()


class Machine(RuleBasedStateMachine):
    """The same deeds to both."""

    @initialize(operations=OPERATIONS, die=st.integers(0, 12))
    def trigger(self, operations: list[tuple[str, ...]], die: int) -> None:
        self.run_id = f"model-{next(_numbers)}"
        self.model = Model(operations)
        self.deaths = 0
        self.sent: list[tuple[str, tuple[str, str], Any]] = []
        given = [list(operation) for operation in operations]

        def start() -> None:
            triggered = lifecycle.trigger("model", run_id=self.run_id, input=given, claim=True)
            if triggered.held is not None:
                engine.drive(triggered.held)

        self.do(start, die)
        self.model.go()

    @rule(wait=st.tuples(st.sampled_from(["EVENT", "SIGNAL"]), st.sampled_from(["a", "b"])), die=st.integers(0, 12))
    def send(self, wait: tuple[str, str], die: int) -> None:
        key, payload = f"k{next(_numbers)}", next(_numbers)
        self.sent.append((key, wait, payload))
        self.do(lambda: self.inject(key, wait, payload), die)
        expected = self.model.send(wait, payload)
        (receipt,) = [row for row in inbox.receipts(self.run_id) if row["receiptId"] == self.receipts[key]]
        # Kept first and matched later in the same breath, when a driver died in between, is the same to the sender.
        assert receipt["disposition"] == expected or (expected, receipt["disposition"]) == ("buffered", "matched")

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        key, wait, payload = data.draw(st.sampled_from(self.sent))
        receipt = inbox.inject(self.run_id, *wait, payload=payload, buffer=True, dedupe=key)
        assert receipt.disposition == states.DUPLICATE

    @rule(die=st.integers(0, 12))
    def alarm(self, die: int) -> None:
        due_now(self.run_id)
        self.do(lambda: None, die)
        self.model.alarm()

    @rule()
    def cancel(self) -> None:
        if self.model.status in states.ACTIVE:
            lifecycle.cancel(self.run_id)
            self.model.status, self.model.open = states.CANCELLED, []
        else:
            with pytest.raises(AlreadyTerminal):
                lifecycle.cancel(self.run_id)

    @rule(pause=st.booleans())
    def pause(self, pause: bool) -> None:
        if self.model.status not in states.ACTIVE:
            return
        (control.pause if pause else control.unpause)(self.run_id)
        self.model.paused = pause
        self.do(lambda: None, 0)
        if not pause and self.model.status == states.RUNNING:
            self.model.go()

    @invariant()
    def the_same(self) -> None:
        if not hasattr(self, "model"):
            return
        record = records.load(self.run_id)
        seqs = list(JournalEntry.objects.filter(run_id=self.run_id).order_by("seq").values_list("seq", flat=True))
        assert seqs == list(range(1, len(seqs) + 1))
        assert record["status"] == self.model.status, (record, vars(self.model))
        assert list(record["journal"]["stepResults"]) == self.model.steps
        for name in self.model.steps:
            assert _ran[self.run_id, name] <= 1 + self.deaths
        if self.model.status == states.WAITING:
            shown = [
                (wait["kind"], wait["meta"].get("eventType") or wait["meta"].get("signalName") or "")
                for wait in record["pendingWaitpoints"]
            ]
            assert shown == self.model.open
        if self.model.status == states.COMPLETED:
            assert record["output"] == self.model.got
        if self.model.status not in states.ACTIVE:
            assert Run.objects.get(pk=self.run_id).wake_at is None

    receipts: dict[str, str] = {}

    def inject(self, key: str, wait: tuple[str, str], payload: Any) -> None:
        """As a client that repeats what was not answered."""
        self.receipts[key] = inbox.inject(self.run_id, *wait, payload=payload, buffer=True, dedupe=key).id

    def do(self, deed: Callable[[], None], die: int) -> None:
        """Do it; the process dies at the ``die``-th point (0: never), then it is repeated, and a worker goes on."""
        left = die

        def hook(name: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Died

        sql.on_crash_point(hook if die else None)
        try:
            deed()
            alarms.work()
        except Died:
            self.deaths += 1
            sql.on_crash_point(None)
            leases._claims.clear()
            # The lease of the dead ends.
            Run.objects.exclude(lease_owner="").update(wake_at=1)
            deed()
        finally:
            sql.on_crash_point(None)
        while alarms.work():
            pass


@pytest.mark.django_db
def test_the_engine_does_what_the_model_says() -> None:
    """Triggers, injections early, late and repeated, alarms, pauses, cancels and deaths at every commit agree."""
    before = dict(registry._known)
    workflow("model")(program)
    workflow("model-child")(lambda context, given: context.step("c", lambda: "grown"))
    try:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=60,
                stateful_step_count=12,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
    finally:
        registry._known.clear()
        registry._known.update(before)
