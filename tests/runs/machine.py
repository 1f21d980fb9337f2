"""A small model of a run, in memory, and a state machine that does the same deeds to it and to the engine.

Between any two commits of a driver the machine can let its process die, let another worker take the run over while it
stands still, or send an injection; whoever was not answered repeats the request.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runs import alarms, control, engine, inbox, leases, lifecycle, records, resume, sql, states
from runs.authoring import ChildFailed, Context
from runs.dispatchers.base import TenantError
from runs.dispatchers.inline import InlineDispatcher
from runs.errors import AlreadyTerminal, ParentRunning
from runs.held import Held
from runs.models import JournalEntry, Run, Waitpoint
from tests.runs.conftest import due_now

_numbers = itertools.count(1)
#: What really ran: (run, step).
ran: Counter[tuple[str, str]] = Counter()
#: Runs whose step ``fail`` succeeds.
mended: set[str] = set()
#: So many of the next requests to the tenant fail.
failing = [0]
Wait = tuple[str, str]
SLEEP, CHILD = ("DATETIME", ""), ("RUN", "")
TOGETHER = {
    "sleep": [SLEEP],
    "parked": [CHILD],
    "both": [("EVENT", "a"), ("EVENT", "b")],
    "family": [("EVENT", "a"), CHILD],
}

OPERATIONS = st.lists(
    st.one_of(
        st.just(("step",)),
        st.just(("sleep",)),
        st.tuples(st.sampled_from(["EVENT", "SIGNAL"]), st.sampled_from(["a", "b"])),
        st.sampled_from([("child",), ("parked",), ("both",), ("family",), ("fail",)]),
    ),
    max_size=7,
)
WAITS = st.tuples(st.sampled_from(["EVENT", "SIGNAL"]), st.sampled_from(["a", "b"]))
POINT = st.integers(0, 12)
#: One of those there are, counted round.
WHICH = st.integers(0, 7)
HOW = st.sampled_from(["die", "taken over", "claimed", "found"])


class Died(BaseException):
    """The process of the driver ends here."""


def program(context: Context, given: Any) -> list[Any]:
    """Do the operations one after the other; the payloads that came."""
    got: list[Any] = []
    for number, (kind, *names) in enumerate(given):
        name = f"s{number}"
        match kind:
            case "step":
                context.step(name, lambda name=name: ran.update([(context.run_id, name)]))
            case "fail":
                context.step(name, lambda name=name: _fail(context.run_id, name))
            case "sleep":
                context.sleep(3600)
            case "EVENT":
                got.append(context.wait_for_event(names[0]))
            case "SIGNAL":
                got.append(context.wait_for_signal(names[0]))
            case "child":
                got.append(context.invoke("model-child"))
            case "parked":
                try:
                    got.append(context.invoke("model-parked"))
                except ChildFailed as failure:
                    got.append(failure.code)
            case "both":
                got += context.wait_all(context.event("a"), context.event("b"))
            case "family":
                try:
                    got += context.wait_all(context.event("a"), context.child("model-parked"))
                except ChildFailed as failure:
                    got.append(failure.code)
    return got


def _fail(run_id: str, name: str) -> None:
    ran.update([(run_id, name)])
    if run_id not in mended:
        raise ValueError("broken")


def faulty(dispatch: Any) -> Any:
    """``InlineDispatcher.dispatch`` of a tenant that is away for ``failing`` requests."""

    def wrapped(self: InlineDispatcher, held: Any) -> Any:
        if failing[0] > 0:
            failing[0] -= 1
            raise TenantError("tenant_unreachable", "away", status=502)
        return dispatch(self, held)

    return wrapped


class Model:
    """What should be: one process, no database, nobody dies."""

    def __init__(self, operations: list[tuple[str, ...]], *, mended: bool = False) -> None:
        self.operations = operations
        self.mended = mended
        self.position = 0
        self.status = states.RUNNING
        self.got: list[Any] = []
        #: What had come before each operation.
        self.before: dict[int, list[Any]] = {}
        self.steps: list[str] = []
        self.kept: dict[Wait, list[tuple[str, Any]]] = defaultdict(list)
        self.open: list[Wait] = []
        self.answers: dict[Wait, Any] = {}
        self.paused = False
        #: Its alarm came while it was paused.
        self.overslept = False
        #: Key of an injection → what became of it.
        self.fate: dict[str, str] = {}

    def go(self) -> None:
        """As far as it gets."""
        while not self.paused and self.status in states.ACTIVE:
            if self.position == len(self.operations):
                self.end(states.COMPLETED)
                return
            kind, *names = self.operations[self.position]
            self.before.setdefault(self.position, list(self.got))
            if kind in ("step", "fail"):
                self.steps.append(f"s{self.position}")
                if kind == "fail" and not self.mended:
                    self.end(states.FAILED)
                    return
            elif kind == "child":
                self.got.append("grown")
            elif not self._wait(kind, names):
                self.status = states.WAITING
                return
            self.status = states.RUNNING
            self.position += 1

    def _wait(self, kind: str, names: list[str]) -> bool:
        wanted = TOGETHER.get(kind) or [(kind, names[0])]
        for wait in wanted:
            if wait not in self.answers and self.kept[wait]:
                key, self.answers[wait] = self.kept[wait].pop(0)
                self.fate[key] = states.MATCHED
        self.open = [wait for wait in wanted if wait not in self.answers]
        if self.open:
            return False
        failed = self.answers.get(CHILD) == "CHILD_RUN_ENDED"
        self.got += ["CHILD_RUN_ENDED"] if failed else [self.answers[wait] for wait in wanted if wait != SLEEP]
        self.answers.clear()
        return True

    def end(self, status: str) -> None:
        """Nothing is waited for any more, and what was kept has no more use."""
        self.status, self.open = status, []
        for items in self.kept.values():
            self.fate.update((key, states.EXPIRED) for key, _ in items)
        self.kept.clear()

    def send(self, key: str, wait: Wait, payload: Any) -> None:
        """An injection."""
        if self.status not in states.ACTIVE:
            self.fate[key] = states.EXPIRED
        elif wait in self.open:
            self.fate[key] = states.MATCHED
            self.answer(wait, payload)
        else:
            self.fate[key] = states.BUFFERED
            self.kept[wait].append((key, payload))

    def answer(self, wait: Wait, payload: Any) -> None:
        """A wait is over."""
        if wait in self.open:
            self.open.remove(wait)
            self.answers[wait] = payload
            self.status = states.RUNNING
            self.go()

    def resumed(self, step: str) -> Model:
        """The model of a run resumed from a step."""
        made = Model(self.operations, mended=True)
        made.position = int(step[1:])
        made.got = list(self.before[made.position])
        made.before = {place: got for place, got in self.before.items() if place <= made.position}
        made.steps = self.steps[: self.steps.index(step)]
        return made


class Machine(RuleBasedStateMachine):
    """The same deeds to both."""

    @initialize(operations=OPERATIONS, point=POINT, how=HOW)
    def trigger(self, operations: list[tuple[str, ...]], point: int, how: str) -> None:
        failing[0] = 0
        self.run_id = f"model-{next(_numbers)}"
        self.model = Model(operations)
        self.inherited: list[str] = []
        self.ended: list[tuple[str, dict[str, Any]]] = []
        self.deaths = 0
        self.sent: list[tuple[str, Wait, Any]] = []
        self.receipts: dict[str, str] = {}
        given = [list(operation) for operation in operations]

        def start() -> None:
            triggered = lifecycle.trigger("model", run_id=self.run_id, input=given, claim=True)
            if triggered.held is not None:
                engine.drive(triggered.held)

        self.model.go()
        self.do(start, point, how)

    @rule(wait=WAITS, point=POINT, how=HOW)
    def send(self, wait: Wait, point: int, how: str) -> None:
        key, payload = self.draw(wait)
        self.model.send(key, wait, payload)
        self.do(lambda: self.inject(key, wait, payload), point, how)

    @rule(first=WAITS, second=WAITS, point=st.integers(1, 12))
    def send_while_it_is_driven(self, first: Wait, second: Wait, point: int) -> None:
        """The second comes between two commits of the drive that the first causes."""
        key, payload = self.draw(first)
        other, value = self.draw(second)
        self.do(lambda: self.inject(key, first, payload), point, lambda: self.inject(other, second, value))
        if other in self.receipts:
            # Whichever was first under the run's lock: each is told the same, and the order is that of the receipts.
            order = [(key, first, payload), (other, second, value)]
            order.sort(key=lambda each: self.receipts[each[0]])
            for each in order:
                self.model.send(*each)
        else:
            self.sent.pop()
            self.model.send(key, first, payload)

    @precondition(lambda self: self.sent)
    @rule(which=WHICH)
    def send_again(self, which: int) -> None:
        key, wait, payload = self.sent[which % len(self.sent)]
        receipt = inbox.inject(self.run_id, *wait, payload=payload, buffer=True, dedupe=key)
        assert (receipt.disposition, receipt.id) == (states.DUPLICATE, self.receipts[key])

    @rule(point=POINT, how=HOW)
    def alarm(self, point: int, how: str) -> None:
        due_now(self.run_id)
        if not self.model.paused:
            self.model.answer(SLEEP, None)
        elif SLEEP in self.model.open:
            self.model.overslept = True
        self.do(lambda: None, point, how)

    @rule(point=POINT, how=HOW)
    def wake_for_nothing(self, point: int, how: str) -> None:
        """A worker looks at the run before its time."""
        Run.objects.filter(pk=self.run_id, status=states.WAITING, paused=False).update(wake_at=1)
        self.do(lambda: None, point, how)

    @rule(times=st.integers(1, 3))
    def tenant_away(self, times: int) -> None:
        """The next requests fail; they are made again, and nothing else changes."""
        failing[0] = times

    @precondition(lambda self: CHILD in self.model.open)
    @rule(cancel=st.booleans(), point=POINT, how=HOW)
    def child_ends(self, cancel: bool, point: int, how: str) -> None:
        (child,) = Run.objects.filter(parent_id=self.run_id, status="waiting").values_list("pk", flat=True)
        self.model.answer(CHILD, "CHILD_RUN_ENDED" if cancel else "grown up")
        if cancel:
            lifecycle.cancel(child)
            self.do(lambda: None, point, how)
        else:
            deed = lambda: inbox.inject(child, "EVENT", "grow", payload="up", buffer=True, dedupe="g")  # noqa: E731
            self.do(lambda: (deed(), None)[1], point, how)

    @rule()
    def cancel(self) -> None:
        if self.model.status in states.ACTIVE:
            lifecycle.cancel(self.run_id)
            self.model.end(states.CANCELLED)
        else:
            with pytest.raises(AlreadyTerminal):
                lifecycle.cancel(self.run_id)

    @rule(pause=st.booleans())
    def pause(self, pause: bool) -> None:
        if self.model.status not in states.ACTIVE:
            return
        (control.pause if pause else control.unpause)(self.run_id)
        self.model.paused = pause
        if not pause and self.model.status == states.RUNNING:
            self.model.go()
        if not pause and self.model.overslept:
            self.model.overslept = False
            self.model.answer(SLEEP, None)
        self.do(lambda: None, 0, "die")

    @precondition(lambda self: self.model.steps)
    @rule(which=WHICH, point=POINT)
    def go_on_as_a_new_run(self, which: int, point: int) -> None:
        step = self.model.steps[which % len(self.model.steps)]
        new = f"model-{next(_numbers)}"
        body = {"resumeFromStep": step, "runId": new}
        if self.model.status in states.ACTIVE:
            with pytest.raises(ParentRunning):
                resume.resume(self.run_id, body)
            return
        mended.add(new)
        parent = self.run_id
        self.ended.append((parent, records.load(parent)))
        self.model = self.model.resumed(step)
        self.inherited = list(self.model.steps)
        self.run_id, self.sent, self.receipts = new, [], {}
        self.model.go()
        self.do(lambda: (resume.resume(parent, body), None)[1], point, "die")

    @invariant()
    def the_same(self) -> None:
        if not hasattr(self, "model"):
            return
        model, record = self.model, records.load(self.run_id)
        rows = JournalEntry.objects.filter(run_id=self.run_id).order_by("seq")
        seqs = list(rows.values_list("seq", flat=True))
        assert seqs == list(range(1, len(seqs) + 1))
        fences = list(rows.values_list("fence", flat=True))
        assert fences == sorted(fences), "somebody wrote after the run was taken from him"
        assert record["status"] == model.status, (record, vars(model))
        assert list(record["journal"]["stepResults"]) == model.steps
        for name in model.steps:
            # At most once; once more only where a driver died between doing and committing.
            assert ran[self.run_id, name] <= (0 if name in self.inherited else 1 + self.deaths)
        if model.status in states.ACTIVE:
            # A paused run may go on and yet wait: for the rest of what it waits for together.
            assert [_shown(wait) for wait in record["pendingWaitpoints"]] == model.open
        else:
            assert record["pendingWaitpoints"] == []
        if model.status == states.COMPLETED:
            assert record["output"] == model.got, (record, vars(model))
        fates = {row["receiptId"]: row["disposition"] for row in inbox.receipts(self.run_id)}
        assert fates == {self.receipts[key]: fate for key, fate in model.fate.items()}
        self._rows(record)

    def _rows(self, record: dict[str, Any]) -> None:
        """What the rows must hold whatever happened."""
        run = Run.objects.get(pk=self.run_id)
        waiting_for = [wait for wait in record["pendingWaitpoints"] if wait["kind"] == "DATETIME"]
        if run.status not in states.ACTIVE:
            assert (run.wake_at, run.lease_owner, run.buffered) == (None, "", 0)
            assert not Run.objects.filter(parent_id=run.pk, status__in=states.ACTIVE).exists()
            assert not Waitpoint.objects.filter(run_id=run.pk, state="pending").exists()
        elif run.status == states.WAITING and not run.paused:
            assert (run.wake_at is None) == (not waiting_for)
        children = [wait for wait in record["journal"]["waitpointsResolved"] if wait.startswith("invoke:")]
        pending = [wait for wait in record["pendingWaitpoints"] if wait["kind"] == "RUN"]
        started = Run.objects.filter(parent_id=run.pk).count()
        inherited = [entry for entry in record["journal"]["waitpointsResolved"].values() if entry.get("inheritedFrom")]
        runs_inherited = len([entry for entry in inherited if entry["kind"] == "RUN"])
        dropped = Waitpoint.objects.filter(run_id=run.pk, state="dropped", kind="RUN").count()
        assert started == len(children) + len(pending) + dropped - runs_inherited
        for parent, before in self.ended:
            assert records.load(parent) == before

    def draw(self, wait: Wait) -> tuple[str, Any]:
        """A new injection: its key and its payload."""
        key, payload = f"k{next(_numbers)}", next(_numbers)
        self.sent.append((key, wait, payload))
        return key, payload

    def inject(self, key: str, wait: Wait, payload: Any) -> None:
        """As a client that repeats what was not answered."""
        self.receipts[key] = inbox.inject(self.run_id, *wait, payload=payload, buffer=True, dedupe=key).id

    def interrupt(self, how: str) -> None:
        """The process ends; or it stands still for longer than its lease, and another has taken the run when it goes
        on: to its next wait, or only so far that it holds it, asked for this run or for whichever is due."""
        if how == "die":
            raise Died
        self.deaths += 1
        self._leases_end()
        if how in ("claimed", "found"):
            before = dict(Run.objects.values_list("pk", "fence"))
            self.other = leases.claim(self.run_id) if how == "claimed" else leases.claim_next()
            assert self.other is None or self.other.fence > before[self.other.id], "he could not be told from the last"
        else:
            self.work()

    def _leases_end(self) -> None:
        leases._claims.clear()
        Run.objects.exclude(lease_owner="").update(wake_at=1)

    def work(self) -> None:
        """Everything that is due, retries as well."""
        while True:
            # Who took the run over while its driver stood still goes on with it, whenever that was.
            other, self.other = self.other, None
            if other is not None:
                engine.drive(other)
            Run.objects.filter(status="running", attempts__gt=0, lease_owner="", wake_at__isnull=False).update(
                wake_at=1
            )
            if not alarms.work() and self.other is None:
                return

    def do(self, deed: Callable[[], None], point: int, interruption: str | Callable[[], None]) -> None:
        """Do it, with an interruption at the ``point``-th place between commits (0: none); then workers go on."""
        left = point
        self.other: Held | None = None

        def hook(name: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                sql.on_crash_point(None)
                if isinstance(interruption, str):
                    self.interrupt(interruption)
                else:
                    interruption()

        sql.on_crash_point(hook if point else None)
        try:
            deed()
            self.work()
        except Died:
            self.deaths += 1
            sql.on_crash_point(None)
            self._leases_end()
            deed()
        finally:
            sql.on_crash_point(None)
        if self.other is not None:
            engine.drive(self.other)
        self.work()


def _shown(wait: dict[str, Any]) -> Wait:
    meta = wait["meta"]
    return wait["kind"], meta.get("eventType") or meta.get("signalName") or ""
