"""The strength of the model: each of these small faults in the engine is noticed by it.

Each fault has deeds that show it, so that the proof is the same each time; the deeds came out of the machine's own
search, made small. Of the engine without a fault they must say nothing.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from django.db import IntegrityError

from runs import children, commits, control, endings, engine, inbox, leases, resume, waitpoints
from tests.runs import machine
from tests.runs.test_model import made_known

pytestmark = pytest.mark.django_db

Deed = tuple[str, dict[str, Any]]
A, B = ("EVENT", "a"), ("EVENT", "b")


def trigger(*operations: str | tuple[str, str], point: int = 0, how: str = "die") -> Deed:
    listed = [(each,) if isinstance(each, str) else each for each in operations]
    return "trigger", {"operations": listed, "point": point, "how": how}


def send(wait: tuple[str, str], *, point: int = 0) -> Deed:
    return "send", {"wait": wait, "point": point, "how": "die"}


def send_while_it_is_driven(first: tuple[str, str], second: tuple[str, str], *, point: int) -> Deed:
    return "send_while_it_is_driven", {"first": first, "second": second, "point": point}


def go_on_as_a_new_run(step: int) -> Deed:
    return "go_on_as_a_new_run", {"which": step, "point": 0}


def tenant_away() -> Deed:
    return "tenant_away", {"times": 1}


def pause() -> Deed:
    return "pause", {"pause": True}


ALARM: Deed = ("alarm", {"point": 0, "how": "die"})
CANCEL: Deed = ("cancel", {})
WAKE: Deed = ("wake_for_nothing", {"point": 0, "how": "die"})


@dataclass(frozen=True)
class Fault:
    """In this function, this text stands instead of that; the deeds show it."""

    module: ModuleType
    function: str
    text: str
    instead: str
    deeds: Sequence[Deed]


FAULTS = {
    "a step is written without the fence": Fault(
        commits,
        "step",
        "WHERE id = %s AND fence = %s AND status",
        "WHERE id = %s AND %s > 0 AND status",
        [trigger("step", point=2, how="claimed")],
    ),
    "an answer is written without the fence": Fault(
        commits,
        "_write",
        "WHERE id = %s AND fence = %s AND status = 'running' ",
        "WHERE id = %s AND %s > 0 ",
        [trigger(point=2, how="taken over")],
    ),
    "a claim does not raise the fence": Fault(
        leases, "claim", "SET fence = fence + 1", "SET fence = fence", [trigger("step", point=2, how="claimed")]
    ),
    "a worker's claim does not raise the fence": Fault(
        leases, "claim_next", "SET fence = fence + 1", "SET fence = fence", [trigger("step", point=2, how="found")]
    ),
    "a step that is done is not journaled": Fault(
        commits,
        "step",
        "now = clock.now_ms()\n",
        "now = clock.now_ms()\n    if key == 's1':\n        return\n",
        [trigger("step", "step")],
    ),
    "an injection's row is forgotten": Fault(
        inbox, "inject", "receipt.disposition, receipt.waitpoint", "'refused', receipt.waitpoint", [trigger(), send(A)]
    ),
    "what is buffered is not counted": Fault(
        inbox, "_match", "SET buffered = buffered + 1", "SET buffered = buffered", [trigger("sleep"), send(A), CANCEL]
    ),
    "what is buffered is matched newest first": Fault(
        commits,
        "_from_inbox",
        "ORDER BY id",
        "ORDER BY id DESC",
        [trigger(A, "both"), send(B), send(B), send(A), send(A)],
    ),
    "one injection resolves two waits": Fault(
        commits,
        "_from_inbox",
        "taken.add(waitpoint)",
        "pass",
        [trigger("sleep", A, A, "sleep"), send(A), send(A), ALARM],
    ),
    "an injection while it is driven does not count": Fault(
        inbox,
        "_ready",
        "UPDATE runs_run SET next_seq = next_seq + 1 WHERE",
        "UPDATE runs_run SET claims = 0 WHERE",
        [trigger("both"), send_while_it_is_driven(A, B, point=1)],
    ),
    "what others journaled is not taken in": Fault(
        commits, "park", "if others:", "if False:", [trigger("both"), send_while_it_is_driven(A, B, point=3)]
    ),
    "a repeated injection counts again": Fault(
        inbox, "inject", "if before is not None:", "if False:", [trigger(), send(A, point=2)]
    ),
    "an alarm is lost": Fault(
        waitpoints, "wake_time", "return now + _duration(wait)", "return None", [trigger("sleep")]
    ),
    "a sleep is over at once": Fault(
        waitpoints, "due", "AND wake_at <= %s", "AND (wake_at <= %s OR kind = 'DATETIME')", [trigger("sleep"), WAKE]
    ),
    "a parked run gets no wake time": Fault(
        commits, "park", "held.wake_at is not None and not paused", "False", [trigger("sleep")]
    ),
    "a child is started twice": Fault(
        children, "start", "wait.key in parent.pending or ", "", [trigger("family"), send(A)]
    ),
    "a parent is not told": Fault(
        children, "tell_parent", "if row is None or row[0] != states.PENDING:", "if True:", [trigger("child")]
    ),
    "a cancel leaves the children": Fault(
        endings,
        "cancel",
        "for child in children.attached(cursor, run_id):",
        "for child in ():",
        [trigger("parked"), CANCEL],
    ),
    "a cancel leaves the waits": Fault(
        endings, "cancel", "waitpoints.drop_all(cursor, run_id, now=now)", "pass", [trigger("sleep"), CANCEL]
    ),
    "what was kept does not expire": Fault(
        commits, "finish", "if buffered:", "if False:", [trigger("sleep"), send(A), ALARM]
    ),
    "a pause does not hold": Fault(
        control, "_set", "[paused, wake_at, run_id]", "[False, run.wake_at, run_id]", [trigger(A), pause(), send(A)]
    ),
    "a retry is never due": Fault(
        commits, "retry", "wake_at=at", "wake_at=None", [trigger(A, "step"), tenant_away(), send(A)]
    ),
    "a tenant that is away ends the run": Fault(
        engine, "_refused", "if error.permanent or", "if True or", [trigger(A, "step"), tenant_away(), send(A)]
    ),
    "a resumed run does its steps again": Fault(
        resume,
        "_seed",
        "copied.append((kind, key, data))",
        "pass",
        [trigger("step", "fail", "step"), go_on_as_a_new_run(1)],
    ),
    "a resumed run waits again": Fault(
        resume,
        "_seed",
        'elif not key.startswith("trigger-delay:"):',
        "elif False:",
        [trigger(A, "step", "fail"), send(A), go_on_as_a_new_run(1)],
    ),
    "a running parent is resumed": Fault(
        resume, "resume", "parent.status in states.ACTIVE", "False", [trigger("step", "sleep"), go_on_as_a_new_run(0)]
    ),
}


def mutate(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    """Replace a function of the engine by one with another text."""
    function = getattr(fault.module, fault.function)
    source = textwrap.dedent(inspect.getsource(function))
    place = f"{fault.module.__name__}.{fault.function}"
    assert fault.text in source, f"{place} has changed; write the fault anew"
    scope: dict[str, Any] = {}
    changed = compile(source.replace(fault.text, fault.instead), f"<fault in {place}>", "exec")
    exec(changed, fault.module.__dict__, scope)
    monkeypatch.setattr(fault.module, fault.function, scope[fault.function])


def do(deeds: Sequence[Deed]) -> None:
    """The deeds one after the other, to the model and to the engine; both are compared after each."""
    both = machine.Machine()
    for name, given in deeds:
        getattr(both, name)(**given)
        both.the_same()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_noticed(name: str, workflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What shows the fault passes with the engine as it is; with the fault, the model does not agree."""
    made_known(workflow, monkeypatch)
    do(FAULTS[name].deeds)
    mutate(monkeypatch, FAULTS[name])
    with pytest.raises((AssertionError, IntegrityError, pytest.fail.Exception)):
        do(FAULTS[name].deeds)
