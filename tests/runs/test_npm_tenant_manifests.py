"""Manifest, events and schedules as the SDK builds them, through our server to the npm tenant."""

from __future__ import annotations

from typing import Any

import pytest

from tests import server
from tests.runs.npm import House

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def manifest(house: House) -> dict[str, Any]:
    """Registered for development."""
    made = house.tenant.manifest("development")
    answer = house.post("/manifests", {"environment": "development", "manifest": made})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"ok": True, "versionId": made["versionId"]}
    return made


def test_a_manifest_comes_back_as_it_was_sent(house: House, manifest: dict[str, Any]) -> None:
    """The manifest that the SDK builds is taken without a warning and given back unchanged."""
    answer = house.api.get("/api/manifests/development").json()
    assert answer == {"environment": "development", "versionId": manifest["versionId"], "manifest": manifest}
    again = house.post("/manifests", {"environment": "development", "manifest": manifest}).json()
    assert again == {"ok": True, "versionId": manifest["versionId"]}


def test_an_event_starts_the_workflows_it_fits(house: House, manifest: dict[str, Any]) -> None:
    """Predicate and mapper of ``trigger.on`` decide; the tenant runs the workflow with the mapped input."""
    data = {"total": 150, "country": "RO", "items": [{"id": "i1"}], "sum": {"a": 1, "b": 2}}
    envelope = {"name": "order.paid", "emittedAt": "2026-01-02T03:04:05.678Z", "data": data}
    answer = house.post("/events", {"environment": "development", "envelope": envelope}).json()
    assert answer["ok"] is True
    by_target = {match["targetWorkflowId"]: match for match in answer["matches"]}
    assert set(by_target) == {"fulfil", "child-add"}
    record = house.ended(by_target["fulfil"]["runId"])
    assert record["output"] == {"order": "i1", "at": envelope["emittedAt"], "kind": "large"}
    assert record["triggeredBy"]["eventType"] == "order.paid"
    assert house.ended(by_target["child-add"]["runId"])["output"] == 3
    again = house.post("/events", {"environment": "development", "envelope": envelope}).json()
    assert again == answer
    assert house.tenant.ran(by_target["fulfil"]["runId"]) == {"fulfilled": 1}


def test_an_event_that_fits_nothing(house: House, manifest: dict[str, Any]) -> None:
    """A predicate that is false makes no entry."""
    envelope = {"name": "order.paid", "emittedAt": "x", "data": {"total": 100, "country": "RO"}}
    answer = house.post("/events", {"environment": "development", "envelope": envelope}).json()
    assert (answer["ok"], answer["matches"]) == (True, [])


def test_an_event_for_all_that_wait(house: House, manifest: dict[str, Any]) -> None:
    """With ``resolveWaiting`` every waiting run of the environment gets the event."""
    runs = [house.trigger("wait-event", {"type": "gates.open"})["id"] for _ in range(4)]
    envelope = {"name": "gates.open", "emittedAt": "2026", "data": {"to": "all"}}
    body = {"environment": "development", "envelope": envelope, "resolveWaiting": True}
    answer = house.post("/events", body).json()
    assert answer["resolvedRuns"] == 4
    assert [house.ended(run)["output"] for run in runs] == [{"got": {"to": "all"}}] * 4


def test_a_schedule_ticks(house: House, manifest: dict[str, Any]) -> None:
    """A schedule of the SDK's manifest starts runs by itself, on time, each slot once."""

    def shown() -> dict[str, Any]:
        data = house.api.get("/api/schedules/development").json()["data"]
        return next(row for row in data if row["workflowId"] == "ticking")

    first = server.eventually(lambda: shown().get("lastRunId"), seconds=10, what="the first tick")
    second = server.eventually(
        lambda: run if (run := shown()["lastRunId"]) != first else None, seconds=10, what="the second tick"
    )
    records = [house.ended(run) for run in (first, second)]
    schedule_id = f"{manifest['versionId']}:ticking:tick"
    for record in records:
        assert record["output"] == {"from": "the clock"}
        assert record["triggeredBy"] == {"kind": "schedule", "scheduleId": schedule_id}
    slots = [int(record["idempotencyKey"].rsplit(":", 1)[1]) for record in records]
    assert (slots[1] - slots[0]) % 1000 == 0
    late = [record["startedAt"] - slot for record, slot in zip(records, slots, strict=True)]
    assert all(0 <= ms < 1500 for ms in late), late


def test_schedules_are_listed(house: House, manifest: dict[str, Any]) -> None:
    """Cron with its zone, a disabled one, and one of another environment, as the seed's read view shows them."""
    data = house.api.get("/api/schedules/development").json()["data"]
    nightly = [row for row in data if row["workflowId"] == "nightly"]
    version = manifest["versionId"]
    assert [row["scheduleId"] for row in nightly] == [
        *(f"{version}:nightly:0", f"{version}:nightly:2", f"{version}:nightly:never"),
    ]
    by_id = {row["scheduleId"].rsplit(":", 1)[1]: row for row in nightly}
    assert by_id["0"]["nextRunAt"] > 0
    assert (by_id["never"]["enabled"], by_id["never"]["disabledReason"]) == (False, "registration_disabled")
    assert (by_id["2"]["nextRunAt"], by_id["2"]["disabledReason"]) == (None, "env_filtered")
