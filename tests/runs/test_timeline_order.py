"""The timeline tells what happened in the order in which it did, also within a millisecond and when clocks differ."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import F

from runs import queries, states
from runs.models import JournalEntry, Run, Waitpoint
from tests.runs.conftest import run, send

pytestmark = pytest.mark.django_db
TOLD = [
    "takes-turns triggered",
    "step before done",
    "invocation 1: waiting",
    "waits for event e",
    "e over",
    "step between done",
    "invocation 2: waiting",
    "waits for event f",
    "waits for signal s",
    "f over",
    "step after done",
    "invocation 3: completed",
    "completed",
]


@pytest.fixture
def ended(workflow: Any) -> str:
    """A run with steps before, between and after waits, and one wait that nothing ended."""

    @workflow("takes-turns", durability="invocation")
    def turns(context: Any, given: Any) -> None:
        context.step("before", lambda: 1)
        context.wait_for_event("e")
        context.step("between", lambda: 2)
        context.wait_any(context.event("f"), context.signal("s"))
        context.step("after", lambda: 3)

    run_id = str(run("takes-turns")["id"])
    for name in ("e", "f"):
        send(run_id, states.EVENT, name)
    return run_id


def told(run_id: str) -> list[str]:
    """The sentences of the timeline, without the names that the engine gave to waits."""
    names = {wait.key: f"{wait.match_key} over" for wait in Waitpoint.objects.filter(run_id=run_id)}
    return [names.get(event["text"].removesuffix(" over"), event["text"]) for event in queries.timeline(run_id)]


def test_in_one_millisecond_it_is_the_journals_order(ended: str) -> None:
    """All of a run in one millisecond: each wait comes behind the invocation that made it and before its own end."""
    JournalEntry.objects.filter(run_id=ended).update(at=1_000)
    Waitpoint.objects.filter(run_id=ended).update(created_at=1_000)
    Run.objects.filter(pk=ended).update(created_at=1_000, completed_at=1_000)
    assert told(ended) == TOLD


def test_with_clocks_that_lag_it_is_the_journals_order(ended: str) -> None:
    """Each host is behind the one before it: what came later is told later, whatever its time."""
    invocations = JournalEntry.objects.filter(run_id=ended, kind=JournalEntry.INVOCATION).order_by("seq")
    first, second, third = invocations.values_list("seq", flat=True)
    waits = Waitpoint.objects.filter(run_id=ended)
    JournalEntry.objects.filter(run_id=ended).update(at=2_000 - F("seq"))
    waits.filter(match_key="e").update(created_at=2_000 - first)
    waits.exclude(match_key="e").update(created_at=2_000 - second)
    Run.objects.filter(pk=ended).update(created_at=1_000, completed_at=2_000 - third)
    assert told(ended) == TOLD


def test_without_any_fault_it_is_told_by_time(ended: str) -> None:
    """As it happened, on one clock: the same order, and no event before an earlier one."""
    assert told(ended) == TOLD
    times = [event["at"] for event in queries.timeline(ended)]
    assert times == sorted(times)
