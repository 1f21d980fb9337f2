"""Undoing, children, cancelling, resuming and a tenant that fails, with the npm tenant."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.runs.npm import TENANT_META, House, waits

pytestmark = pytest.mark.node


# --- undoing -----------------------------------------------------------------------------------------------------


def reports(record: dict[str, Any]) -> dict[str, str]:
    """What was undone, from the journal."""
    return {name: entry["status"] for name, entry in record["journal"]["compensationsRun"].items()}


def test_a_failed_run_is_undone(house: House) -> None:
    """A throw after two undoable steps undoes both, last first, and ends as ``compensated`` with the error."""
    record = house.trigger("saga")
    assert record["status"] == "compensated"
    assert record["error"] == {"category": "USER_ERROR", "code": "UNKNOWN", "message": "no stock"}
    undone = [line["what"] for line in house.tenant.lines(record["id"]) if line["what"].startswith("undo")]
    assert undone == ["undo-charge", "undo-reserve"]


def test_reports_of_undoing_are_kept(house: House) -> None:
    """Fault 17: what was undone, and what could not be, stands in the journal."""
    assert reports(house.trigger("saga")) == {"charge": "ok", "reserve": "ok"}
    record = house.trigger("saga", {"broken": True})
    assert record["status"] == "compensation_failed"
    assert reports(record) == {"charge": "ok", "reserve": "err"}
    assert record["journal"]["compensationsRun"]["reserve"]["error"]["message"] == "undoing reserve exploded"


def test_a_body_may_ask_to_be_undone(house: House) -> None:
    """``ctx.compensate()`` ends the run as compensated, without an error."""
    record = house.trigger("saga", {"ask": True})
    assert record["status"] == "compensated"
    assert "error" not in record
    assert reports(record) == {"charge": "ok", "reserve": "ok"}


@pytest.mark.parametrize("between", ["sleep", "event"])
def test_steps_before_a_wait_are_undone_too(house: House, between: str) -> None:
    """Steps of an earlier invocation are undone from the journal, with the output they had."""
    run = house.trigger("saga", {between: 20})["id"]
    if between == "event":
        house.inject(run, "events", eventType="decide")
    record = house.ended(run)
    assert record["status"] == "compensated"
    lines = [(line["what"], line["detail"]) for line in house.tenant.lines(run) if line["what"].startswith("undo")]
    assert lines == [("undo-charge", "charge-done"), ("undo-reserve", "reserve-done")]
    assert house.tenant.ran(run)["reserve"] == 1


def test_a_group_undoes_itself_alone(house: House) -> None:
    """A group that fails undoes its own steps; the run goes on and completes."""
    record = house.trigger("grouped")
    assert (record["status"], record["output"]) == ("completed", "went on")
    assert house.tenant.ran(record["id"]) == {"outer": 1, "undo-inner-step": 1}


# --- children ----------------------------------------------------------------------------------------------------


def test_a_child_that_ends_at_once(house: House) -> None:
    """The child's output is the parent's answer, in the same request; the child is a run with the given tags."""
    record = house.trigger("parent", tags=["p"])
    assert (record["status"], record["output"]) == ("completed", {"sum": 7})
    entry = record["journal"]["waitpointsResolved"]["invoke:child-add:1"]
    assert entry | {"resolvedAt": 0} == {"kind": "RUN", "resolvedAt": 0, "payload": 7, "source": "replay"}
    (child,) = house.children(record["id"])
    made = house.record(child)
    assert made["parent"] == {"runId": record["id"], "waitpointId": "invoke:child-add:1"}
    assert (made["tags"], made["input"], made["output"]) == (["kid"], {"a": 3, "b": 4}, 7)
    assert made["tenantMeta"] == record["tenantMeta"]


def test_a_child_that_sleeps(house: House) -> None:
    """The parent waits for a child that waits, and goes on when the child ends by alarm."""
    record = house.trigger("parent-waits", {"ms": 60})
    assert record["pendingWaitpoints"] == [
        {
            "clientWaitpointId": "invoke:child-waits:1",
            "kind": "RUN",
            "meta": {"childWorkflowId": "child-waits", "childInput": {"ms": 60}, "detach": False, "tags": []},
        }
    ]
    record = house.ended(record["id"])
    assert record["output"] == {"child": "child slept"}
    assert house.tenant.ran(record["id"]) == {"after-child": 1}


def test_a_parked_child_is_started_once(house: House) -> None:
    """Fault 8: other waits of the parent resolve and replay it, and the parked child stays the only one."""
    record = house.trigger("parent-of-two")
    run = record["id"]
    assert waits(house.parked(run, "invoke:child-waits:1", "signal:parent-go:2")) is not None
    house.inject(run, "signals", name="parent-go", payload="p")
    house.parked(run, "invoke:child-waits:1")
    children = house.children(run)
    parked = [child for child in children if house.record(child)["status"] == "waiting"]
    assert (len(children), len(parked)) == (2, 1)
    house.inject(parked[0], "signals", name="child-go", payload="c")
    assert house.ended(run)["output"] == [{"child": "c"}, "p", 10]
    assert house.tenant.ran(parked[0]) == {"child-started": 1}


def test_a_child_after_an_alarm(house: House) -> None:
    """Fault 6: a child invoked in an invocation that an alarm started works."""
    assert house.ended(house.trigger("parent-after-sleep")["id"])["output"] == {"sum": 2}


def test_a_failed_child(house: House) -> None:
    """The child's error reaches the parent's body with code and message."""
    record = house.ended(house.trigger("parent-catches")["id"])
    assert record["output"] == {"code": "E_CHILD", "message": "the child failed"}
    entry = record["journal"]["waitpointsResolved"]["invoke:child-fails:1"]
    assert entry["error"] == {"category": "USER_ERROR", "code": "E_CHILD", "message": "the child failed"}


def test_a_detached_child(house: House) -> None:
    """A detached child is started and not waited for; it ends by itself and has no parent."""
    run = house.trigger("parent-detached", tags=["of-detached"])["id"]
    assert house.ended(run)["output"] == {"answer": "nothing"}
    listed = house.api.get("/api/runs", params={"workflowId": "child-waits"}).json()
    started = [house.record(one["id"]) for one in listed["runs"]]
    (detached,) = [one["id"] for one in started if one.get("provenance", {}).get("startedBy") == run]
    child = house.ended(detached)
    assert "parent" not in child
    assert child["output"] == "child slept"


def test_a_cancelled_child_tells_its_parent(house: House) -> None:
    """Cancelling a child resolves the parent's wait with the reason as its error."""
    run = house.trigger("parent-waits")["id"]
    (child,) = house.children(run)
    house.inject(child, "cancel", reason="not needed")
    record = house.ended(run)
    assert record["status"] == "failed"
    assert record["error"] == {"category": "USER_ERROR", "code": "CANCELLED", "message": "not needed"}


def test_cancelling_a_parent_cancels_its_child(house: House) -> None:
    """Fault 11: children that are not detached go with their parent."""
    run = house.trigger("parent-waits")["id"]
    (child,) = house.children(run)
    house.inject(run, "cancel", reason="enough")
    assert house.ended(child)["status"] == "cancelled"


# --- cancelling --------------------------------------------------------------------------------------------------


def test_cancelling_a_waiting_run(house: House) -> None:
    """A parked run ends as cancelled with the reason; a second cancel is 409."""
    run = house.trigger("wait-event")["id"]
    record = house.inject(run, "cancel", reason="changed my mind")
    assert (record["status"], record["pendingWaitpoints"]) == ("cancelled", [])
    assert record["error"] == {"category": "USER_ERROR", "code": "CANCELLED", "message": "changed my mind"}
    answer = house.post(f"/runs/{run}/cancel")
    assert (answer.status_code, answer.json()["error"]) == (409, "already_terminal")
    assert answer.json()["message"] == f"run {run} is already terminal (status: cancelled)"


def test_cancelling_without_a_reason(house: House) -> None:
    """Without a reason there is no error."""
    run = house.trigger("wait-event")["id"]
    answer = house.api.post(f"/api/runs/{run}/cancel")
    assert answer.status_code == 200
    assert "error" not in answer.json()


def test_cancelling_a_drive_in_flight(house: House) -> None:
    """A cancel in the middle of a step holds: the record is cancelled and stays so when the step ends."""
    answers: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: answers.append(house.trigger("slow", {"ms": 900}, runId="in-flight")))
    thread.start()
    house_ran = house.tenant.ran
    deadline = time.monotonic() + 5
    while not house_ran("in-flight") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert house.inject("in-flight", "cancel", reason="stop")["status"] == "cancelled"
    thread.join()
    time.sleep(1.0)
    record = house.record("in-flight")
    assert answers[0]["status"] == record["status"] == "cancelled"
    assert "output" not in record


# --- resuming ----------------------------------------------------------------------------------------------------


def test_resuming_from_the_failed_step(house: House) -> None:
    """Steps before the failed one are taken over and not run again; the input may be another."""
    parent = house.trigger("ordered", {"fail": True}, tags=["mine"])
    assert parent["status"] == "failed"
    answer = house.post(f"/runs/{parent['id']}/resume", {"input": {"fail": False}, "tags": ["again"]}).json()
    saved = answer["saved"]
    assert (answer["parentRunId"], answer["resumeFromStep"]) == (parent["id"], "last")
    assert (saved["status"], saved["output"]) == ("completed", "done")
    assert saved["tags"] == ["mine", "resume:true", f"parentRunId:{parent['id']}", "again"]
    assert house.tenant.ran(saved["id"]) == {"last": 1}


def test_resuming_with_seeds(house: House) -> None:
    """With ``seedResults`` and no parent stored here, the given outputs stand for the steps."""
    body = {"workflowId": "ordered", "resumeFromStep": "last", "input": {}}
    seeds = {"validate": "v", "10": 1, "2": 2, "b": 3}
    answer = house.post("/runs/elsewhere/resume", body | {"seedResults": seeds})
    saved = answer.json()["saved"]
    assert (saved["status"], saved["workflowVersion"]) == ("completed", "local")
    assert saved["journal"]["stepResults"]["validate"]["output"] == "v"
    assert house.tenant.ran(saved["id"]) == {"last": 1}


# --- once, and errors --------------------------------------------------------------------------------------------


def test_the_same_run_id_is_the_same_run(house: House) -> None:
    """A repeated trigger gives the run that is there; with another body it is 409 with both hashes."""
    first = house.trigger("plain", {"x": 1}, runId="once")
    again = house.trigger("plain", {"x": 1}, runId="once")
    assert again == first
    assert house.tenant.ran("once") == {"a": 1, "b": 1, "c": 1}
    body = {"workflowId": "plain", "input": {"x": 2}, "runId": "once", "tenantMeta": TENANT_META}
    answer = house.post("/runs", body)
    assert (answer.status_code, answer.json()["error"]) == (409, "run_conflict")
    assert answer.json()["existingHash"] != answer.json()["requestHash"]


def test_an_idempotency_key_makes_one_run(house: House) -> None:
    """Fault 15: ``idempotencyKey`` of the body makes one run of two triggers."""
    body = {"workflowId": "plain", "workflowVersion": "v1", "input": {"x": 1}, "idempotencyKey": "k"}
    first, second = house.post("/runs", body).json(), house.post("/runs", body).json()
    assert first["id"] == second["id"]


# --- a tenant that fails -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"mode": "status", "value": 500},
        {"mode": "status", "value": 429},
        {"mode": "html"},
        {"mode": "text"},
        {"mode": "cut"},
        {"mode": "body", "value": {"status": "bogus"}},
        {"mode": "body", "value": {"status": "completed"}},
        {"mode": "body", "value": [1]},
    ],
)
def test_a_passing_fault_does_not_end_a_run(house: House, fault: dict[str, Any]) -> None:
    """Faults 2, 3 and 10: an answer that is no answer is asked for again, later, and the run completes."""
    house.tenant.fault(**fault, times=2)
    record = house.ended(house.trigger("plain", {"x": 3})["id"])
    assert record["output"]["total"] == 112


def test_an_answer_that_was_lost_is_asked_for_again(house: House) -> None:
    """When the connection breaks after the body ran, the invocation is repeated: at least once, and then journaled."""
    house.tenant.fault("cut", after_running=True)
    record = house.ended(house.trigger("plain", {"x": 1})["id"])
    assert record["status"] == "completed"
    assert house.tenant.ran(record["id"]) == {"a": 2, "b": 2, "c": 2}


def test_a_never_ends_the_run_at_once(house: House) -> None:
    """A 4xx that means never fails the run with the tenant's message and is not repeated."""
    house.tenant.fault("status", value=400, times=1)
    record = house.trigger("plain", {"x": 1})
    assert record["error"] == {
        "category": "RUNTIME_ERROR",
        "code": "handler_error",
        "message": "told to answer 400",
    }


# --- the seed's corners ------------------------------------------------------------------------------------------


def test_corners_of_the_routes(house: House) -> None:
    """Unknown runs, unknown parts, bodies that are none: the seed's statuses and words."""
    run = house.trigger("wait-event")["id"]
    cases: list[tuple[str, str, Any, int, str]] = [
        ("GET", "/api/runs/nope", None, 404, "not_found"),
        ("POST", "/api/runs/nope/events", {"eventType": "x"}, 404, "not_found"),
        ("POST", f"/api/runs/{run}/bogus", {}, 400, "route_not_found"),
        ("DELETE", f"/api/runs/{run}", None, 400, "route_not_found"),
        ("POST", f"/api/runs/{run}/events", {}, 400, "invalid_body"),
        ("POST", f"/api/runs/{run}/events", [], 400, "invalid_body"),
        ("POST", f"/api/runs/{run}/signals", {"name": 1}, 400, "invalid_body"),
        ("GET", f"/api/runs/{run}/events", None, 400, "invalid_body"),
    ]
    for method, path, body, status, code in cases:
        answer = house.api.request(method, path, json=body) if body is not None else house.api.request(method, path)
        assert (answer.status_code, answer.json()["error"]) == (status, code), (method, path)
        assert answer.headers["access-control-allow-origin"] == "*"
    answer = house.api.post(f"/api/runs/{run}/events", content=b"{")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_json")
    answer = house.api.options("/api/runs/whatever", headers={"Authorization": ""})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == "GET,POST,OPTIONS"
    assert answer.headers["access-control-allow-headers"] == "content-type, x-voyant-protocol"
    answer = house.api.get(f"/api/runs/{run}", headers={"Authorization": "Basic x"})
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert answer.json()["message"] == "Authorization header must use the Bearer scheme"
