"""Where we differ from the seed on purpose: each test is named after the fault that is not here.

Faults 1 to 7, of drivers, tenants and waits; 8 to 11 are in test_faults_of_control.py.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from runs import clock, commits, engine, inbox, leases, lifecycle, queries, records
from runs.errors import LostClaim, NotParked, RunConflict
from runs.models import JournalEntry, Run, Waitpoint
from tests.runs.conftest import due_now, run, send, statuses, wake
from tests.runs.scripted import Tenant, completed, wait, waiting

pytestmark = pytest.mark.django_db

EVENT = wait("EVENT", "event:go:1")


# 1. Fenced


def test_a_blind_upsert_of_a_stopped_driver(workflow: Any) -> None:
    """1: a driver whose lease was taken over writes nothing any more, neither a step nor an end."""
    workflow("test-plain")(lambda context, given: context.step("a", lambda: 1))
    stopped = lifecycle.trigger("test-plain", claim=True).held
    assert stopped is not None
    Run.objects.filter(pk=stopped.id).update(wake_at=1)
    other = leases.claim(stopped.id)
    assert other is not None
    assert other.fence == stopped.fence + 1
    with pytest.raises(LostClaim):
        commits.step(stopped, "step", "late", {"status": "ok"})
    with pytest.raises(LostClaim):
        commits.finish(stopped, "failed", error={"message": "late"})
    assert not JournalEntry.objects.filter(run_id=stopped.id).exists()
    engine.drive(other)
    assert statuses(stopped.id) == "completed"


# 2. A dead driver


def test_a_run_stuck_in_running_after_its_driver_died(workflow: Any) -> None:
    """2: when the lease of a dead driver ends, the run is due like any other, and driven on from its journal."""
    ran: list[str] = []

    @workflow("test-two")
    def two(context: Any, given: Any) -> None:
        for name in ("a", "b"):
            context.step(name, lambda name=name: ran.append(name))

    dead = lifecycle.trigger("test-two", claim=True).held
    assert dead is not None
    commits.step(dead, "step", "a", {"attempt": 1, "status": "ok", "output": None, "startedAt": 1, "finishedAt": 1})
    leases.let_go(dead)
    assert wake() == 0
    Run.objects.filter(pk=dead.id).update(wake_at=clock.now_ms() - 1)
    assert wake() == 1
    assert statuses(dead.id) == "completed"
    assert ran == ["b"]


def test_a_run_that_kills_every_driver_is_given_up(workflow: Any, rules: Any) -> None:
    """2: a run whose drivers die one after the other is failed after the allowed number of claims, with the reason."""
    rules(max_claims=3)
    workflow("test-poison")(lambda context, given: None)
    run_id = lifecycle.trigger("test-poison").run_id
    for _ in range(3):
        Run.objects.filter(pk=run_id).update(wake_at=1)
        held = leases.claim(run_id)
        assert held is not None
        leases.let_go(held)
    Run.objects.filter(pk=run_id).update(wake_at=1)
    wake()
    assert records.load(run_id)["error"]["code"] == "DRIVER_DIED"


# 3. Transient failures of the tenant


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, b'{"error": "executor_error", "message": "boom"}'),
        (502, {}, b"<html>bad gateway</html>"),
        (429, {"retry-after": "7"}, b'{"error": "slow_down", "message": "later"}'),
        (200, {}, b"not json"),
        (200, {}, b'{"status": "sideways", "journal": {"stepResults": {}}}'),
        (200, {}, b'{"status": "completed"}'),
        (200, {}, b'{"status": "waiting", "journal": {"stepResults": {}}, "waitpoints": [{"kind": "EVENT"}]}'),
        "cut",
    ],
)
def test_one_transient_tenant_failure_kills_a_durable_run(tenant: Tenant, answer: Any) -> None:
    """3: a tenant that fails once, in whatever way, is asked again later by a row, and the run completes."""

    def handler(request: dict[str, Any]) -> Any:
        if len(tenant.requests) > 1:
            return completed(request, "done")
        if answer == "cut":
            raise ConnectionError
        return answer

    tenant.handler = handler
    record = run("anything")
    assert record["status"] == "running"
    why = queries.why(record["id"])
    assert why["reason"] == "retry"
    if answer != "cut" and answer[0] == 429:
        assert 6000 < why["retryAt"] - why["at"] <= 7000
    due_now(record["id"])
    assert wake() == 1
    record = records.load(record["id"])
    assert (record["status"], record["output"]) == ("completed", "done")


def test_a_hanging_tenant_is_cut_by_the_total_timeout(tenant: Tenant, rules: Any) -> None:
    """3: a tenant that never answers costs the total timeout, then a retry."""
    rules(dispatch_seconds=0.2)
    over = threading.Event()

    def hang(request: dict[str, Any]) -> Any:
        over.wait(5)
        raise ConnectionError

    tenant.handler = hang
    record = run("anything")
    over.set()
    assert record["status"] == "running"
    assert "did not answer within 0.2 s" in queries.why(record["id"])["lastTenantError"]["message"]


@pytest.mark.parametrize(("status", "code"), [(404, "workflow_not_found"), (426, "protocol_version_mismatch")])
def test_never_means_never(tenant: Tenant, status: int, code: str) -> None:
    """3: a 4xx that means never fails the run at once, with the tenant's words."""
    tenant.handler = lambda request: (status, {}, json.dumps({"error": code, "message": "no"}).encode())
    record = run("anything")
    assert record["error"] == {"category": "RUNTIME_ERROR", "code": "handler_error", "message": "no"}
    assert len(tenant.requests) == 1


def test_retries_end(tenant: Tenant, rules: Any) -> None:
    """3: after the allowed attempts the run is failed with the last cause."""
    rules(max_attempts=3)
    tenant.handler = lambda request: (503, {}, b'{"error": "busy", "message": "still busy"}')
    record = run("anything")
    for _ in range(3):
        due_now(record["id"])
        wake()
    record = records.load(record["id"])
    assert (record["status"], record["error"]["message"]) == ("failed", "still busy")
    assert len(tenant.requests) == 3


# 4. Injections


def test_an_early_event_is_lost(tenant: Tenant) -> None:
    """4: an event sent while the run is running is kept, and ends the wait at the moment it is registered."""
    held = lifecycle.trigger("anything", claim=True).held
    assert held is not None
    assert inbox.inject(held.id, "EVENT", "go", payload=7, buffer=True).disposition == "buffered"
    tenant.handler = lambda request: (
        waiting(request, EVENT)
        if not request["journal"]["waitpointsResolved"]
        else completed(request, request["journal"]["waitpointsResolved"]["event:go:1"]["payload"])
    )
    engine.drive(held)
    record = records.load(held.id)
    assert (record["status"], record["output"]) == ("completed", 7)
    assert record["journal"]["waitpointsResolved"]["event:go:1"]["source"] == "inbox"
    (receipt,) = inbox.receipts(held.id)
    assert (receipt["disposition"], receipt["waitpointId"]) == ("matched", "event:go:1")


def test_the_seeds_refusals_are_kept_unless_buffering_is_asked_for(tenant: Tenant) -> None:
    """4: without deliver=buffer an early event is the seed's 409, and nothing is kept."""
    held = lifecycle.trigger("anything", claim=True).held
    assert held is not None
    with pytest.raises(NotParked, match="is not parked"):
        inbox.inject(held.id, "EVENT", "go")
    assert inbox.receipts(held.id) == []


def test_a_repeated_injection_counts_twice(tenant: Tenant) -> None:
    """4: the same Idempotency-Key again answers duplicate with the same receipt; another body under it is refused."""
    tenant.handler = lambda request: waiting(request, wait("EVENT", "event:go:1"), wait("EVENT", "event:go:2"))
    run_id = run("anything")["id"]
    first = inbox.inject(run_id, "EVENT", "go", payload=1, dedupe="k", buffer=True)
    again = inbox.inject(run_id, "EVENT", "go", payload=1, dedupe="k", buffer=True)
    assert (first.disposition, again.disposition, again.id) == ("matched", "duplicate", first.id)
    with pytest.raises(RunConflict):
        inbox.inject(run_id, "EVENT", "go", payload=2, dedupe="k", buffer=True)
    assert Waitpoint.objects.filter(run_id=run_id, state="resolved").count() == 1


def test_an_injection_after_the_end_says_expired(tenant: Tenant) -> None:
    """4: what comes after the end, and what was kept for a wait that never came, is told as expired."""
    held = lifecycle.trigger("anything", claim=True).held
    assert held is not None
    inbox.inject(held.id, "EVENT", "never", buffer=True)
    engine.drive(held)
    assert inbox.inject(held.id, "EVENT", "go", buffer=True).disposition == "expired"
    assert [receipt["disposition"] for receipt in inbox.receipts(held.id)] == ["expired", "expired"]


# 5. Timeouts


@pytest.mark.parametrize("kind", ["EVENT", "SIGNAL", "MANUAL"])
def test_waits_with_a_timeout_wait_for_ever(tenant: Tenant, kind: str) -> None:
    """5: a wait that times out is resolved by alarm, without payload."""
    key = f"{kind.lower()}:go:1"

    def handler(request: dict[str, Any]) -> Any:
        found = request["journal"]["waitpointsResolved"].get(key)
        return waiting(request, wait(kind, key, timeout_ms=50)) if found is None else completed(request, found)

    tenant.handler = handler
    run_id = run("anything")["id"]
    due_now(run_id)
    wake()
    record = records.load(run_id)
    assert record["status"] == "completed"
    assert set(record["output"]) == {"kind", "resolvedAt", "source"}
    assert record["output"]["source"] == "replay"


# 6. Pending waits


def test_a_pending_sleep_restarts_when_another_wait_resolves(tenant: Tenant) -> None:
    """6: a sleep that the tenant registers again keeps its wake time."""
    sleep = wait("DATETIME", "sleep:1", timeout_ms=60_000, durationMs=60_000)

    def handler(request: dict[str, Any]) -> Any:
        return waiting(request, sleep, *([] if "event:go:2" in request["journal"]["waitpointsResolved"] else [EVENT2]))

    tenant.handler = handler
    before = run("anything")
    (wake_at,) = [w["meta"]["wakeAt"] for w in before["pendingWaitpoints"] if w["kind"] == "DATETIME"]
    threading.Event().wait(0.02)
    after = send(before["id"], "EVENT", "go")
    assert [w["clientWaitpointId"] for w in after["pendingWaitpoints"]] == ["sleep:1"]
    assert after["pendingWaitpoints"][0]["meta"]["wakeAt"] == wake_at
    assert Run.objects.get(pk=before["id"]).wake_at == wake_at


EVENT2 = wait("EVENT", "event:go:2")


def test_a_parked_child_is_spawned_again(tenant: Tenant) -> None:
    """6: a child that waits is started once, however often its parent is replayed; its end reaches the parent."""

    def handler(request: dict[str, Any]) -> Any:
        resolved = request["journal"]["waitpointsResolved"]
        if request["workflowId"] == "child":
            return waiting(request, EVENT) if "event:go:1" not in resolved else completed(request, "grown")
        if "invoke:child:1" in resolved:
            return completed(request, resolved["invoke:child:1"]["payload"])
        waits = [wait("RUN", "invoke:child:1", childInput=1, detach=False, tags=["kid"])]
        return waiting(request, *waits, *([] if "event:go:2" in resolved else [EVENT2]))

    tenant.handler = handler
    parent = run("parent")
    (child,) = Run.objects.filter(parent_id=parent["id"])
    assert records.load(child.pk)["tags"] == ["kid"]
    send(parent["id"], "EVENT", "go")
    assert Run.objects.filter(parent_id=parent["id"]).count() == 1
    send(child.pk, "EVENT", "go")
    wake()
    assert records.load(parent["id"])["output"] == "grown"


def test_a_child_invoked_after_an_alarm_fails(tenant: Tenant) -> None:
    """6: a body that sleeps and then invokes a child works."""

    def handler(request: dict[str, Any]) -> Any:
        resolved = request["journal"]["waitpointsResolved"]
        if request["workflowId"] == "child":
            return completed(request, "grown")
        if "sleep:1" not in resolved:
            return waiting(request, wait("DATETIME", "sleep:1", timeout_ms=50, durationMs=50))
        if "invoke:child:2" not in resolved:
            return waiting(request, wait("RUN", "invoke:child:2", childInput=1, detach=False))
        return completed(request, resolved["invoke:child:2"]["payload"])

    tenant.handler = handler
    run_id = run("parent")["id"]
    due_now(run_id)
    wake()
    assert records.load(run_id)["output"] == "grown"


# 7. Order


def test_the_database_reorders_the_journal(tenant: Tenant) -> None:
    """7: steps keep the order of their completion on their way through the database and back to the tenant."""
    names = ["validate", "10", "2", "b", "a"]

    def handler(request: dict[str, Any]) -> Any:
        if not request["journal"]["stepResults"]:
            return waiting(request, EVENT, **dict.fromkeys(names, 1))
        return completed(request, list(request["journal"]["stepResults"]))

    tenant.handler = handler
    run_id = run("anything")["id"]
    assert list(records.load(run_id)["journal"]["stepResults"]) == names
    assert send(run_id, "EVENT", "go")["output"] == names
