"""What operators do: wake, pause in flight, urgency, retention; and the answers to "why"."""

from __future__ import annotations

from typing import Any

import pytest

from runs import alarms, clock, commits, control, engine, leases, lifecycle, queries, records
from runs.models import InboxItem, JournalEntry, Run, RunData, RunTag, StreamChunk, Waitpoint
from tests.runs.conftest import run, send, wake
from zelavis.errors import Conflict

pytestmark = pytest.mark.django_db


def test_the_most_urgent_run_is_driven_first(workflow: Any) -> None:
    """Among what is due, higher priority goes first, then what waits longest."""
    order: list[str] = []
    workflow("test-urgent")(lambda context, given: order.append(given))
    now = clock.now_ms()
    for name, priority, ago in (("late", 0, 50), ("later", 0, 90), ("urgent", 5, 10), ("low", -5, 99)):
        lifecycle.trigger("test-urgent", input=name, priority=priority, now=now - ago)
    wake()
    assert order == ["urgent", "later", "late", "low"]


def test_a_pause_in_flight_holds_after_the_invocation(workflow: Any) -> None:
    """A run that is paused while it is driven finishes its invocation and is then held, whatever it waits for."""

    @workflow("test-held")
    def body(context: Any, given: Any) -> Any:
        context.step("a", lambda: control.pause(context.run_id))
        context.sleep(0)
        return "done"

    record = run("test-held")
    assert (record["status"], record["paused"]) == ("waiting", True)
    assert alarms.seconds_until_next() is None
    assert queries.why(record["id"])["reason"] == "paused"
    control.unpause(record["id"])
    wake()
    assert records.load(record["id"])["output"] == "done"


def test_waking_needs_a_sleeper(workflow: Any) -> None:
    """Wake ends a sleep and is noted; a run that waits for an event only is refused."""
    workflow("test-sleeper")(lambda context, given: [context.sleep(3600), context.wait_for_event("e")])
    run_id = run("test-sleeper")["id"]
    control.wake(run_id, actor="user:ada")
    wake()
    with pytest.raises(Conflict):
        control.wake(run_id)
    notes = [entry["data"] for entry in queries.journal(run_id) if entry["kind"] == "note"]
    assert notes == [{"note": "woken", "actor": "user:ada"}]


def test_why_names_what_is_missing(workflow: Any) -> None:
    """why tells a driver with its lease, a wait with since when, readiness, and the end."""
    workflow("test-why")(lambda context, given: context.wait_for_event("payment"))
    held = lifecycle.trigger("test-why", claim=True).held
    assert held is not None
    why = queries.why(held.id)
    assert (why["reason"], why["leaseOwner"]) == ("driven", leases.owner())
    commits.give_back(held)
    assert queries.why(held.id)["reason"] == "ready"
    wake()
    why = queries.why(held.id)
    assert (why["reason"], why["text"]) == ("waiting", "It waits for event payment.")
    assert why["waits"][0]["forMs"] >= 0
    send(held.id, "EVENT", "payment")
    assert queries.why(held.id)["reason"] == "ended"


def test_why_names_the_next_alarm(workflow: Any) -> None:
    """A sleeper says when it is woken, in words and as a moment; a late one says how late."""
    workflow("test-nap")(lambda context, given: context.sleep(7500))
    record = run("test-nap")
    why = queries.why(record["id"])
    assert why["nextAlarmAt"] == record["pendingWaitpoints"][0]["meta"]["wakeAt"]
    assert why["text"].startswith("It waits for a time. Its next alarm is in 2 h ")
    why = queries.why(record["id"], now=why["nextAlarmAt"] + 5000)
    assert why["text"] == "It waits for a time. Its alarm is 5.0 s late."


def test_a_timeline_says_how_late_an_alarm_was(workflow: Any) -> None:
    """The timeline has every step, wait and resolution by time, and an alarm's lateness."""
    workflow("test-late")(lambda context, given: [context.step("a", lambda: 1), context.sleep(0)])
    run_id = run("test-late")["id"]
    wake()
    events = queries.timeline(run_id)
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    (alarm,) = [event for event in events if event.get("by") == "alarm"]
    assert alarm["latenessMs"] >= 0
    assert events[0]["kind"] == "triggered"
    assert events[-1] == {"at": events[-1]["at"], "kind": "ended", "text": "completed"}


def test_retention_removes_everything_of_a_run(workflow: Any, rules: Any) -> None:
    """Old ended runs go with all their rows; active ones, young ones, and families with an active member stay."""

    @workflow("test-old")
    def body(context: Any, given: Any) -> Any:
        context.stream("s", ["x"])
        context.wait_for_event("e")

    workflow("test-family")(lambda context, given: context.invoke("test-old", on_cancel="detach"))
    gone = run("test-old", tags=["t"], idempotency_key="k")["id"]
    send(gone, "EVENT", "e")
    young = run("test-old")["id"]
    send(young, "EVENT", "e")
    parent = run("test-family")["id"]
    lifecycle.cancel(parent)
    active = run("test-old")["id"]
    Run.objects.filter(pk__in=[gone, parent]).update(completed_at=1)
    assert control.retire_by_policy() == 0
    rules(retention_days=1)
    assert control.retire_by_policy() == 1
    assert not Run.objects.filter(pk=gone).exists()
    for model in (RunData, JournalEntry, Waitpoint, InboxItem, StreamChunk, RunTag):
        assert not model.objects.filter(run_id=gone).exists(), model.__name__
    assert set(Run.objects.exclude(parent_id=parent).values_list("pk", flat=True)) == {young, parent, active}
    assert lifecycle.trigger("test-old", idempotency_key="k", tags=["t"]).created


def test_a_worker_gives_long_runs_back(workflow: Any) -> None:
    """A drive whose time is over stops between two invocations and leaves the run ready for others."""

    @workflow("test-long")
    def body(context: Any, given: Any) -> Any:
        for _ in range(3):
            context.invoke("test-long-child", detach=True)
        return "done"

    workflow("test-long-child")(lambda context, given: 1)
    held = lifecycle.trigger("test-long", claim=True).held
    assert held is not None
    engine.drive(held, seconds=0)
    row = Run.objects.get(pk=held.id)
    assert (row.status, row.lease_owner) == ("running", "")
    assert row.wake_at is not None
    wake()
    assert records.load(held.id)["output"] == "done"


def test_urgency_has_three_ranks(workflow: Any) -> None:
    """Above the usual by priority, then the usual by how long they wait, then below it by priority."""
    driven: list[str] = []
    workflow("control-ranks")(lambda context, given: driven.append(given))
    order = [("low", -1), ("first", 0), ("lowest", -5), ("high", 2), ("second", 0), ("highest", 9)]
    for late, (name, priority) in enumerate(order):
        lifecycle.trigger("control-ranks", input=name, priority=priority, now=clock.now_ms() - 1000 + late)
    alarms.work()
    assert driven == ["highest", "high", "first", "second", "low", "lowest"]


def test_a_run_named_twice_is_resumed_once(workflow: Any) -> None:
    """A bulk verb does each run once, however often it is named."""

    @workflow("test-fails")
    def body(context: Any, given: Any) -> None:
        context.step("a", lambda: 1 // 0)

    failed = run("test-fails")["id"]
    assert control.bulk("resume", filters=queries.Filters(), run_ids=[failed, failed]).done == [failed]
    assert Run.objects.count() == 2
