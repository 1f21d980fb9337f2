"""Where we differ from the seed on purpose: each test is named after the fault that is not here.

Faults 8 to 11, of what people and limits do to a run; 1 to 7 are in test_faults.py.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from runs import clock, control, engine, lifecycle, records, resume
from runs.errors import AlreadyTerminal, ParentRunning, RunConflict
from runs.models import Run
from tests.runs.conftest import due_now, run, send, statuses, wake
from tests.runs.scripted import Tenant, completed, wait, waiting

pytestmark = pytest.mark.django_db

EVENT = wait("EVENT", "event:go:1")


# 8. Resume


def test_resume_asks_for_the_approval_again(workflow: Any) -> None:
    """8: a resumed run keeps its parent's resolved waits, marked as inherited, and goes on at the failed step."""
    broken = [True]

    @workflow("test-approve")
    def approve(context: Any, given: Any) -> Any:
        context.step("prepare", lambda: 1)
        answer = context.token("boss").wait()

        def charge() -> Any:
            if broken[0]:
                raise RuntimeError("card declined")
            return answer

        return context.step("charge", charge)

    parent = run("test-approve")["id"]
    assert send(parent, "MANUAL", "boss", payload={"approved": True})["status"] == "failed"
    broken[0] = False
    triggered = resume.resume(parent, {}, claim=True).triggered
    assert triggered.held is not None
    engine.drive(triggered.held)
    record = records.load(triggered.run_id)
    assert (record["status"], record["output"]) == ("completed", {"approved": True})
    assert record["journal"]["waitpointsResolved"]["token:boss"]["inheritedFrom"] == parent
    assert record["provenance"]["inheritedWaitpoints"] == ["token:boss"]
    assert record["provenance"]["resumedFrom"] == parent


def test_resume_of_a_running_parent_does_the_work_twice(tenant: Tenant) -> None:
    """8: a parent that has not ended is refused."""
    tenant.handler = lambda request: waiting(request, EVENT, a=1)
    parent = run("anything")["id"]
    with pytest.raises(ParentRunning):
        resume.resume(parent, {"resumeFromStep": "a"})


# 9. Idempotency


@pytest.mark.parametrize("by", ["run_id", "idempotency_key"])
def test_the_same_key_with_another_body_gives_the_old_run(tenant: Tenant, by: str) -> None:
    """9: the same id or key with the same request is the same run, not driven again; with another it is refused."""
    first = lifecycle.trigger("anything", input=1, claim=True, **{by: "k"})  # type: ignore[arg-type]
    again = lifecycle.trigger("anything", input=1, claim=True, **{by: "k"})  # type: ignore[arg-type]
    assert (again.run_id, again.created, again.held) == (first.run_id, False, None)
    with pytest.raises(RunConflict) as caught:
        lifecycle.trigger("anything", input=2, **{by: "k"})  # type: ignore[arg-type]
    assert caught.value.members["existingHash"] != caught.value.members["requestHash"]
    assert Run.objects.count() == 1


# 10. Limits


def test_deadlines_are_not_enforced(tenant: Tenant) -> None:
    """10: a run that waits past its deadline is failed by its alarm; the tenant was told the deadline."""
    deadline = clock.now_ms() + 60_000
    tenant.handler = lambda request: waiting(request, EVENT)
    run_id = run("anything", deadline=deadline)["id"]
    assert tenant.requests[0]["deadline"] == deadline
    assert Run.objects.get(pk=run_id).wake_at == deadline
    Run.objects.filter(pk=run_id).update(wake_at=1, deadline=2)
    wake()
    assert records.load(run_id)["error"]["code"] == "DEADLINE_EXCEEDED"
    assert len(tenant.requests) == 1


def test_the_compute_budget_is_enforced(tenant: Tenant) -> None:
    """10: a run that used up its compute time is failed before it is invoked again."""
    tenant.handler = lambda request: waiting(request, EVENT)
    run_id = run("anything", timeout_ms=5)["id"]
    Run.objects.filter(pk=run_id).update(compute_ms=5)
    record = send(run_id, "EVENT", "go")
    assert record["error"]["code"] == "WORKFLOW_TIMEOUT"
    assert record["error"]["message"] == "workflow exceeded its 5ms compute-time budget (5ms used)"


def test_a_run_has_128_invocations_for_its_whole_life(tenant: Tenant, rules: Any) -> None:
    """10: a run waits 150 times and completes; the cap is a setting."""

    def handler(request: dict[str, Any]) -> Any:
        done = len(request["journal"]["waitpointsResolved"])
        return completed(request, done) if done == 150 else waiting(request, wait("EVENT", f"event:go:{done + 1}"))

    tenant.handler = handler
    run_id = run("anything")["id"]
    for _ in range(150):
        record = send(run_id, "EVENT", "go")
    assert (record["status"], record["invocationCount"]) == ("completed", 151)
    rules(max_invocations=1)
    tenant.handler = lambda request: waiting(request, EVENT)
    assert send(run("anything")["id"], "EVENT", "go")["error"]["code"] == "max_invocations_exceeded"


# 11. Cancel


def test_a_cancelled_run_ends_completed(workflow: Any) -> None:
    """11: a cancel while a driver is at work wins: the driver's step and end are refused, and the record stays."""

    @workflow("test-cancelled")
    def cancelled(context: Any, given: Any) -> Any:
        context.step("a", lambda: lifecycle.cancel(context.run_id, reason="enough"))
        raise AssertionError("the body goes on")

    record = run("test-cancelled")
    assert (record["status"], record["error"]["message"]) == ("cancelled", "enough")
    assert record["journal"]["stepResults"] == {}
    with pytest.raises(AlreadyTerminal):
        lifecycle.cancel(record["id"])


def test_a_cancel_undoes_nothing_as_in_the_seed(workflow: Any) -> None:
    """Kept from the seed: a cancel asks the tenant nothing any more, so what was done stays done and says so."""
    undone: list[str] = []

    @workflow("cancel-saga")
    def body(context: Any, given: Any) -> Any:
        context.step("charge", lambda: "c1", compensate=undone.append)
        context.wait_for_event("never")

    record = run("cancel-saga")
    lifecycle.cancel(record["id"], reason="enough")
    wake()
    record = records.load(record["id"])
    assert (record["status"], undone, record["journal"]["compensationsRun"]) == ("cancelled", [], {})
    assert record["invocationCount"] == 1


@pytest.mark.parametrize("detached", [False, True])
def test_cancelling_a_parent_leaves_its_children(workflow: Any, detached: bool) -> None:
    """11: children go with their parent, unless they were declared to stay."""
    workflow("test-kid")(lambda context, given: context.wait_for_event("never"))

    @workflow("test-parent")
    def parent(context: Any, given: Any) -> Any:
        return context.invoke("test-kid", on_cancel="detach" if detached else "cancel")

    run_id = run("test-parent")["id"]
    (child,) = Run.objects.filter(parent_id=run_id)
    assert child.status == "waiting"
    lifecycle.cancel(run_id, reason="enough")
    assert statuses(child.pk) == ("waiting" if detached else "cancelled")


def test_a_pause_holds_what_comes_due(tenant: Tenant) -> None:
    """A paused run is not driven by its alarm; unpaused, it is driven at once."""
    tenant.handler = lambda request: (
        waiting(request, wait("DATETIME", "sleep:1", timeout_ms=1, durationMs=1))
        if not request["journal"]["waitpointsResolved"]
        else completed(request)
    )
    run_id = run("anything")["id"]
    control.pause(run_id)
    due_now(run_id)
    threading.Event().wait(0.01)
    assert wake() == 0
    control.unpause(run_id)
    wake()
    assert statuses(run_id) == "completed"
