"""Odd corners of the seed's routes, and what is added to them, with the npm tenant."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests import server
from tests.runs.npm import TENANT_META, House

pytestmark = pytest.mark.node


def test_an_event_for_a_run_at_work_is_refused(house: House) -> None:
    """While a body runs, an event without buffering is 409 and says that the run is running."""
    thread = threading.Thread(target=lambda: house.trigger("slow", {"ms": 700}, runId="busy"))
    thread.start()
    server.eventually(lambda: house.tenant.ran("busy"), what="the step")
    answer = house.post("/runs/busy/events", {"eventType": "x"})
    thread.join()
    assert (answer.status_code, answer.json()["error"]) == (409, "not_parked")
    assert answer.json()["message"] == "run busy is not parked (status: running)"
    assert house.ended("busy")["output"] == "slept"


def test_a_reason_is_kept_as_it_is(house: House) -> None:
    """The reason of a cancel may be any JSON; a falsy one makes no error."""
    run = house.trigger("wait-event")["id"]
    assert house.inject(run, "cancel", reason={"why": [1]})["error"]["message"] == {"why": [1]}
    run = house.trigger("wait-event")["id"]
    assert "error" not in house.inject(run, "cancel", reason="")


def test_a_body_with_an_error_comes_back(house: House) -> None:
    """The seed answers a body that has a string ``error`` with that body and 400; so do we."""
    run = house.trigger("wait-event")["id"]
    answer = house.post(f"/runs/{run}/events", {"error": "odd", "eventType": "greet"})
    assert (answer.status_code, answer.json()) == (400, {"error": "odd", "eventType": "greet"})
    assert house.record(run)["status"] == "waiting"


def test_the_content_type_does_not_matter(house: House) -> None:
    """Bodies are read as JSON whatever they are called."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"):
        body = '{"workflowId":"echo","workflowVersion":"v1","input":"ü"}'.encode()
        answer = house.api.post("/api/runs", content=body, headers={"content-type": kind})
        assert (answer.status_code, answer.json()["output"]) == (200, "ü")
        assert answer.headers["content-type"] == "application/json; charset=utf-8"


def test_members_that_are_not_the_callers(house: House) -> None:
    """A journal, a parent and unknown members in the body of a trigger are passed over."""
    record = house.trigger(
        "plain",
        {"x": 1},
        initialJournal={"stepResults": {"a": {"attempt": 1, "status": "ok", "output": 99}}},
        initialMetadataAppliedCount=7,
        parent={"runId": "x", "waitpointId": "y"},
        whatever=1,
    )
    assert record["output"]["total"] == 104
    assert "parent" not in record
    assert record["metadataAppliedCount"] == 4


@pytest.mark.parametrize("delay", [0, -5, "0ms", {"wakeAt": 1}, None])
def test_a_delay_that_is_over(house: House, delay: Any) -> None:
    """A delay that ends now or earlier is none."""
    record = house.trigger("echo", 1, delay=delay)
    assert (record["status"], record["invocationCount"]) == ("completed", 1)


def test_a_delay_until_a_moment(house: House) -> None:
    """``{wakeAt}`` names the moment itself; the body's time starts there."""
    at = int(time.time() * 1000) + 200
    record = house.trigger("deterministic", delay={"wakeAt": at})
    assert record["startedAt"] == at
    assert house.ended(record["id"])["output"]["first"]["now"] == at


def test_members_that_are_kept(house: House) -> None:
    """Priority, key, trigger and tenant come back in the record as they were given."""
    meta = {**TENANT_META, "projectSlug": "shop", "tenantScript": "s.js"}
    given = {"kind": "api", "actor": "u1", "accessTokenId": "t"}
    record = house.trigger("echo", 1, priority=5, idempotencyKey="kept", triggeredBy=given, tenantMeta=meta)
    assert (record["priority"], record["idempotencyKey"]) == (5, "kept")
    assert (record["triggeredBy"], record["tenantMeta"]) == (given, meta)


def test_runs_under_one_key_follow_one_another(house: House) -> None:
    """With a concurrency key the second run waits for the first, and starts when it ends."""
    concurrency = {"key": "one", "limit": 1, "strategy": "queue"}
    first = house.trigger("wait-event", concurrency=concurrency)["id"]
    second = house.trigger("wait-event", concurrency=concurrency)["id"]
    assert (house.record(second)["status"], house.record(second)["invocationCount"]) == ("running", 0)
    assert first in str(house.api.get(f"/api/runs/{second}/why").json())
    house.inject(first, "events", eventType="greet")
    house.parked(second, "event:greet:1")
    assert house.tenant.ran(second) == {"before": 1}


def test_a_paused_run_waits(house: House) -> None:
    """A paused run does not wake, and goes on from where it stood."""
    run = house.trigger("sleepy", {"ms": 200})["id"]
    house.inject(run, "pause")
    time.sleep(0.6)
    assert house.record(run)["status"] == "waiting"
    house.inject(run, "unpause")
    assert house.ended(run)["output"] == {"a": "alpha", "b": "beta"}


def test_many_steps_in_one_invocation(house: House) -> None:
    """A thousand steps are journaled in one go, in the order in which they ended."""
    record = house.trigger("parallel", {"items": list(range(1000))})
    assert record["status"] == "completed"
    assert record["output"][-1] == 999 * 999
    assert len(record["journal"]["stepResults"]) == 1000


def test_a_large_value(house: House) -> None:
    """A value within the limit passes through; one beyond it is 413 and starts nothing."""
    text = "ü" * 200_000
    assert house.trigger("echo", text)["output"] == text
    answer = house.post("/runs", {"workflowId": "echo", "input": text * 2, "runId": "too-large"})
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")
    assert house.api.get("/api/runs/too-large").status_code == 404


def test_a_deadline_holds_while_parked(house: House) -> None:
    """Fault 10: a run that waits past its deadline is failed."""
    run = house.trigger("wait-event", deadline=int(time.time() * 1000) + 300)["id"]
    record = house.ended(run)
    assert record["status"] == "failed"
    assert record["error"]["code"] == "DEADLINE_EXCEEDED"


def test_a_compute_budget(house: House) -> None:
    """Fault 10: a run that used up its compute time is failed before the next invocation."""
    run = house.trigger("slow-twice", {"ms": 120}, timeoutMs=100)["id"]
    record = house.ended(run)
    assert (record["status"], record["error"]["code"]) == ("failed", "WORKFLOW_TIMEOUT")
    assert record["error"]["message"].startswith("workflow exceeded its 100ms compute-time budget (")


def test_what_happened_can_be_read(house: House) -> None:
    """Journal and timeline of a run that slept and ended tell it in order."""
    run = house.ended(house.trigger("sleepy", {"ms": 30})["id"])["id"]
    entries = house.api.get(f"/api/runs/{run}/journal").json()["entries"]
    kinds = [(entry["kind"], entry["key"]) for entry in entries if entry["kind"] in ("step", "resolved")]
    assert kinds == [("step", "a"), ("resolved", "sleep:1"), ("step", "b")]
    assert house.api.get(f"/api/runs/{run}/timeline").json()["events"]


def test_a_race_is_won_by_the_wait(house: House) -> None:
    """As the SDK has it, a wait that was registered wins over a return; the run parks until it is resolved."""
    run = house.trigger("swallows")["id"]
    house.parked(run, "event:swallowed:1")
    assert house.inject(run, "events", eventType="swallowed", payload=1)["output"] == "returned"
