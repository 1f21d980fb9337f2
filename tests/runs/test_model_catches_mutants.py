"""The strength of the model: each of these small faults in the engine is noticed by it."""

from __future__ import annotations

import inspect
import textwrap
from types import ModuleType
from typing import Any

import pytest
from hypothesis import Phase

from runs import children, commits, control, endings, engine, inbox, leases, resume, waitpoints
from tests.runs.test_model import compare

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

MUTANTS: dict[str, tuple[ModuleType, str, str, str]] = {
    "a step is written without the fence": (
        commits, "step", "WHERE id = %s AND fence = %s AND status", "WHERE id = %s AND %s > 0 AND status",
    ),
    "an answer is written without the fence": (
        commits, "_write", "WHERE id = %s AND fence = %s AND status = 'running' ", "WHERE id = %s AND %s > 0 ",
    ),
    "a claim does not raise the fence": (leases, "claim_next", "SET fence = fence + 1", "SET fence = fence"),
    "a step that is done is not journaled": (
        commits, "step", "now = clock.now_ms()\n", "now = clock.now_ms()\n    if key == 's1':\n        return\n",
    ),
    "an injection's row is forgotten": (
        inbox, "inject", "receipt.disposition, receipt.waitpoint", "'refused', receipt.waitpoint",
    ),
    "what is buffered is not counted": (inbox, "_match", "SET buffered = buffered + 1", "SET buffered = buffered"),
    "what is buffered is matched newest first": (commits, "_from_inbox", "ORDER BY id", "ORDER BY id DESC"),
    "one injection resolves two waits": (commits, "_from_inbox", "taken.add(waitpoint)", "pass"),
    "an injection while it is driven does not count": (
        inbox, "_ready", "UPDATE runs_run SET next_seq = next_seq + 1 WHERE", "UPDATE runs_run SET claims = 0 WHERE",
    ),
    "what others journaled is not taken in": (commits, "park", "if others:", "if False:"),
    "a repeated injection counts again": (inbox, "inject", "if before is not None:", "if False:"),
    "an alarm is lost": (waitpoints, "wake_time", "return now + _duration(wait)", "return None"),
    "a sleep is over at once": (waitpoints, "due", "AND wake_at <= %s", "AND (wake_at <= %s OR kind = 'EVENT')"),
    "a parked run gets no wake time": (commits, "park", "held.wake_at is not None and not paused", "False"),
    "a child is started twice": (children, "start", "wait.key in parent.pending or ", ""),
    "a parent is not told": (children, "tell_parent", "if row is None or row[0] != states.PENDING:", "if True:"),
    "a cancel leaves the children": (
        endings, "cancel", "for child in children.attached(cursor, run_id):", "for child in ():",
    ),
    "a cancel leaves the waits": (endings, "cancel", "waitpoints.drop_all(cursor, run_id, now=now)", "pass"),
    "a cancel does not raise the fence": (endings, "cancel", "fence = fence + 1, ", ""),
    "what was kept does not expire": (commits, "finish", "if buffered:", "if False:"),
    "a pause does not hold": (control, "_set", "[paused, wake_at, run_id]", "[False, run.wake_at, run_id]"),
    "a retry is never due": (commits, "retry", "wake_at=at", "wake_at=None"),
    "a tenant that is away ends the run": (engine, "_refused", "if error.permanent or", "if True or"),
    "a resumed run does its steps again": (resume, "_seed", "copied.append((kind, key, data))", "pass"),
    "a resumed run waits again": (resume, "_seed", 'elif not key.startswith("trigger-delay:"):', "elif False:"),
    "a running parent is resumed": (resume, "resume", "parent.status in states.ACTIVE", "False"),
}  # fmt: skip


def mutate(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, old: str, new: str) -> None:
    """Replace a function of the engine by one with another text, for every module that has it."""
    function = getattr(module, name)
    source = textwrap.dedent(inspect.getsource(function))
    assert old in source, f"{module.__name__}.{name} has changed; write the mutant anew"
    scope: dict[str, Any] = {}
    exec(compile(source.replace(old, new), f"<mutant of {name}>", "exec"), module.__dict__, scope)
    monkeypatch.setattr(module, name, scope[name])


@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_is_noticed(name: str, workflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine with this fault does not do what the model says."""
    mutate(monkeypatch, *MUTANTS[name])
    with pytest.raises(BaseException) as caught:
        compare(workflow, monkeypatch, examples=500, phases=[Phase.generate], derandomize=True)
    assert not isinstance(caught.value, KeyboardInterrupt)
