"""Bodies of the npm tenant's workflows, driven by our server: steps, retries, streams, metadata, determinism."""

from __future__ import annotations

from typing import Any

import pytest

from tests.runs.npm import TENANT_META, House

pytestmark = pytest.mark.node


def test_plain_steps(house: House) -> None:
    """A run of three steps completes in the request that triggered it, with its record as the seed shows it."""
    record = house.trigger("plain", {"x": 2}, runId="plain-1", tags=["t"])
    steps = record["journal"]["stepResults"]
    assert record | {"journal": None, "computeTimeMs": 0, "startedAt": 0, "completedAt": 0} == {
        "id": "plain-1",
        "workflowId": "plain",
        "workflowVersion": "v1",
        "status": "completed",
        "input": {"x": 2},
        "output": {"total": 108, "note": "héllo ✓"},
        "journal": None,
        "invocationCount": 1,
        "metadataAppliedCount": 4,
        "computeTimeMs": 0,
        "pendingWaitpoints": [],
        "streams": {},
        "startedAt": 0,
        "completedAt": 0,
        "triggeredBy": {"kind": "api"},
        "tags": ["t"],
        "environment": "development",
        "tenantMeta": TENANT_META,
        "runMeta": {"number": 1, "attempt": 1},
    }
    assert list(steps) == ["a", "b", "c"]
    assert set(steps["a"]) == {"attempt", "status", "output", "startedAt", "finishedAt", "runtime"}
    assert record["journal"]["metadataState"] == {"phase": "end", "count": 1, "trace": ["after-b"]}
    assert record["startedAt"] <= record["completedAt"]
    assert house.tenant.ran("plain-1") == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("value", [None, 0, "", [], {"deep": [{"a": None}]}, "ünï ✓ \U0001f600", 1.5, True])
def test_values_come_back_as_they_went(house: House, value: Any) -> None:
    """Any JSON value passes through input, body and output unchanged; null is a value."""
    record = house.trigger("echo", value)
    assert (record["input"], record["output"]) == (value, value)


def test_absent_stays_absent(house: House) -> None:
    """A run triggered without input has none, and a body that returns nothing leaves no output."""
    body = {"workflowId": "echo", "workflowVersion": "v1", "tenantMeta": TENANT_META, "runId": "absent"}
    record = house.post("/runs", body).json()
    assert record["status"] == "completed"
    assert "input" not in record
    assert "output" not in record


def test_steps_keep_the_order_in_which_they_ended(house: House) -> None:
    """Names that look like numbers or sort otherwise do not change a journal's order, as far as JSON can show it."""
    record = house.trigger("ordered", {})
    # The tenant's own language puts whole numbers first in an object.
    assert list(record["journal"]["stepResults"]) == ["10", "2", "validate", "b", "last"] or list(
        record["journal"]["stepResults"]
    ) == ["2", "10", "validate", "b", "last"]


def test_retries_live_inside_an_invocation(house: House) -> None:
    """A step that succeeds at its third attempt is journaled once, as attempt 3."""
    record = house.trigger("retries", {"max": 5, "succeedAt": 3})
    assert record["status"] == "completed"
    assert record["journal"]["stepResults"]["flaky"] | {"startedAt": 0, "finishedAt": 0} == {
        "attempt": 3,
        "status": "ok",
        "output": 3,
        "startedAt": 0,
        "finishedAt": 0,
        "runtime": "node",
    }
    assert record["invocationCount"] == 1
    assert house.tenant.ran(record["id"]) == {"flaky": 3}


def test_exhausted_retries_fail_the_run(house: House) -> None:
    """The error of the last attempt ends the run; the record shows three members of it, the journal all."""
    record = house.trigger("retries", {"max": 2, "succeedAt": 9})
    assert record["status"] == "failed"
    assert record["error"] == {"category": "USER_ERROR", "code": "RETRYABLE", "message": "attempt 2 fails"}
    assert "stack" in record["journal"]["stepResults"]["flaky"]["error"]


def test_a_fatal_error_stops_retrying(house: House) -> None:
    """``FATAL`` is not tried again."""
    record = house.trigger("retries", {"max": 5, "fatal": True})
    assert (record["status"], record["error"]["code"]) == ("failed", "FATAL")
    assert house.tenant.ran(record["id"]) == {"flaky": 1}


def test_a_step_can_time_out(house: House) -> None:
    """A step's own timeout fails the run with ``TIMEOUT``."""
    record = house.trigger("step-timeout")
    assert record["error"] == {
        "category": "USER_ERROR",
        "code": "TIMEOUT",
        "message": 'step "slow" timed out after 20ms',
    }


def test_an_error_keeps_its_code(house: House) -> None:
    """An error thrown by the body ends the run as failed, with the code it carried."""
    record = house.trigger("fails", {"message": "told so", "code": "E_TOLD"})
    assert record["error"] == {"category": "USER_ERROR", "code": "E_TOLD", "message": "told so"}
    assert house.trigger("fails", {"message": "plain"})["error"]["code"] == "UNKNOWN"


def test_a_caught_error_is_replayed(house: House) -> None:
    """A failed step that the body caught throws the same again after a sleep, without running again."""
    record = house.ended(house.trigger("catches")["id"])
    assert record["output"] == {"message": "first", "code": "E_FIRST"}
    assert record["invocationCount"] == 2
    assert house.tenant.ran(record["id"]) == {"bad": 1}


def test_parallel_steps(house: House) -> None:
    """Steps at once are all journaled, once each."""
    record = house.trigger("parallel", {"items": [1, 2, 3, 4, 5]})
    assert record["output"] == [1, 4, 9, 16, 25]
    assert set(house.tenant.ran(record["id"]).values()) == {1}


def test_streams(house: House) -> None:
    """Text, JSON and binary chunks arrive in order with their final marks, once, also when the body is replayed."""
    record = house.ended(house.trigger("streams", {"sleep": 20})["id"])
    chunks = {
        name: [(chunk["seq"], chunk["encoding"], chunk["chunk"], chunk["final"]) for chunk in stream]
        for name, stream in record["streams"].items()
    }
    assert chunks == {
        "log": [
            *((1, "text", "Hello", False), (2, "text", ", ", False), (3, "text", "world", False)),
            (4, "text", None, True),
        ],
        "progress": [(1, "json", {"pct": 0}, False), (2, "json", {"pct": 100}, False), (3, "json", None, True)],
        "audio": [(1, "base64", "SGk=", False), (2, "base64", None, True)],
    }
    assert record["journal"]["streamsCompleted"] == {
        "log": {"chunkCount": 4},
        "progress": {"chunkCount": 3},
        "audio": {"chunkCount": 2},
    }
    assert record["invocationCount"] == 2


def test_metadata_is_applied_once(house: House) -> None:
    """Mutations that a replay repeats are not applied again: counts and lists are what the body did once."""
    record = house.trigger("metadata")
    record = house.parked(record["id"], "signal:go:2")
    assert record["journal"]["metadataState"] == {"kept": {"deep": [1, None]}, "count": 5, "list": ["first", "second"]}
    record = house.inject(record["id"], "signals", name="go")
    assert record["status"] == "completed"
    assert record["journal"]["metadataState"] == {"kept": {"deep": [1, None]}, "count": 6, "list": ["first", "second"]}
    assert record["metadataAppliedCount"] == 8


def test_time_and_chance_are_the_same_on_every_replay(house: House) -> None:
    """What a body drew before a sleep it draws again after it; its time starts at the trigger and passes with it."""
    record = house.ended(house.trigger("deterministic")["id"])
    output = record["output"]
    assert output["startedAt"] == record["startedAt"] == output["first"]["now"]
    assert 30 <= output["second"]["now"] - output["first"]["now"] < 5000
    assert record["invocationCount"] == 2
    lines = [line for line in house.tenant.lines(record["id"]) if line["what"] == "drawn"]
    assert len(lines) == 2
    assert lines[0]["detail"] == lines[1]["detail"] == output["first"]


def test_the_body_sees_its_run(house: House) -> None:
    """Id, tags, trigger, environment and tenant reach the body as they were given."""
    given = {"kind": "event", "eventId": "e", "eventType": "t", "filterId": "f"}
    record = house.trigger("context", runId="ctx", tags=["a", "b"], triggeredBy=given, environment="preview")
    output = record["output"]
    assert output["run"] == {
        "id": "ctx",
        "number": 1,
        "attempt": 1,
        "triggeredBy": given,
        "tags": ["a", "b"],
        "startedAt": record["startedAt"],
    }
    assert output["workflow"] == {"id": "context", "version": "v1"}
    assert (output["environment"], output["invocation"]) == ("preview", 1)
    assert output["project"]["id"] == "prj_demo"
    assert output["organization"]["id"] == "org_demo"


def test_an_unknown_workflow_is_a_failed_run(house: House) -> None:
    """The tenant's never fails the run at once, with the tenant's message."""
    record = house.trigger("no-such-workflow")
    assert record["status"] == "failed"
    assert record["error"] == {
        "category": "RUNTIME_ERROR",
        "code": "handler_error",
        "message": 'workflow "no-such-workflow" is not registered in this bundle',
    }


def test_twelve_steps_with_sleeps_between(house: House) -> None:
    """A longer run goes from alarm to alarm, and each step runs once."""
    record = house.ended(house.trigger("twelve", {"ms": 5})["id"], seconds=20)
    assert record["output"] == 12
    assert record["invocationCount"] == 13
    assert set(house.tenant.ran(record["id"]).values()) == {1}
    assert len(house.tenant.ran(record["id"])) == 12
