"""Events from outside: what they start and what they resolve."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from runs import alarms, clock, control, records
from runs.manifests import broadcasting, ingesting, registering
from runs.models import EventReceipt, Manifest, Run
from tests.runs.conftest import run as drive

pytestmark = pytest.mark.django_db
AT = "2026-01-02T03:04:05.678Z"


@pytest.fixture(autouse=True)
def _workflows(workflow: Callable[..., Any]) -> None:
    @workflow("target")
    def target(context: Any, given: Any) -> Any:
        return {"got": given}

    @workflow("waits")
    def waits(context: Any, given: Any) -> Any:
        return context.wait_for_event("thing.done")


def register(*filters: dict[str, Any], tenant: str = "", **workflow: Any) -> Manifest:
    listed = [
        {"id": f"f{index}", "eventType": "thing.done", "targetWorkflowId": "target"} | given
        for index, given in enumerate(filters)
    ]
    document = {"versionId": "v1", "eventFilters": listed, "workflows": [{"id": "target", **workflow}]}
    return registering.register(document, environment="development", tenant=tenant, actor="test")


def post(api: Any, envelope: Any = None, **members: Any) -> Any:
    envelope = {"name": "thing.done", "emittedAt": AT, "data": {"n": 1}} if envelope is None else envelope
    return api.post("/api/events", {"environment": "development", "envelope": envelope} | members, format="json")


def test_a_matching_event_starts_a_run(api: Any) -> None:
    """Each filter of the event's type that fits starts its workflow with the mapped input, and says which run."""
    register({"input": {"path": "data.n"}}, {"where": {"eq": [{"path": "data.n"}, {"lit": 2}]}}, {"eventType": "other"})
    answer = post(api)
    event_id = "evt_thing.done_2026_01_02T03_04_05.678Z_d2deeb1c3ea4"
    key = f"f0:{answer.json()['eventId']}"
    assert answer.json()["eventId"][:-12] == event_id[:-12]
    assert answer.status_code == 200
    assert answer.json()["ok"] is True
    assert answer.json()["matches"] == [
        {
            "filterId": "f0",
            "targetWorkflowId": "target",
            "runId": f"idem-target-{key}",
            "idempotencyKey": key,
            "status": "queued",
        }
    ]
    alarms.work()
    record = records.load(f"idem-target-{key}")
    assert (record["status"], record["output"], record["workflowVersion"]) == ("completed", {"got": 1}, "v1")
    assert record["triggeredBy"] == {
        "kind": "event",
        "eventId": answer.json()["eventId"],
        "eventType": "thing.done",
        "filterId": "f0",
    }
    assert record["idempotencyKey"] == key


def test_a_redelivered_event_starts_nothing_new(api: Any) -> None:
    """The same event again answers with the same run; a receipt counts the deliveries."""
    register({})
    first, second = post(api), post(api)
    assert first.json() == second.json()
    assert Run.objects.count() == 1
    assert EventReceipt.objects.get().deliveries == 2


def test_ids_and_keys(api: Any) -> None:
    """The event's own id is taken; a key of the caller goes into the run's id in its place."""
    register({})
    envelope = {"name": "thing.done", "emittedAt": AT, "metadata": {"eventId": "given"}}
    assert post(api, envelope).json()["matches"][0]["runId"] == "idem-target-f0:given"
    answer = post(api, envelope, idempotencyKey="mine").json()
    assert (answer["eventId"], answer["matches"][0]["runId"]) == ("given", "idem-target-f0:mine")
    assert Run.objects.count() == 2


def test_an_event_without_data(api: Any) -> None:
    """Absent data gives a run without input."""
    register({})
    run = post(api, {"name": "thing.done", "emittedAt": AT}).json()["matches"][0]["runId"]
    assert "input" not in records.load(run)


def test_ids_fit_into_a_path() -> None:
    """A slash is written otherwise, and a key too long is replaced by its hash."""
    assert ingesting.run_id("w", "f:a/b") == "idem-w-f:a%2Fb"
    long = ingesting.run_id("w", "x" * 500)
    assert len(long) < 100
    assert long == ingesting.run_id("w", "x" * 500)
    assert long != ingesting.run_id("w", "x" * 501)


def test_broken_filters_are_skipped_and_say_why(api: Any) -> None:
    """A filter whose predicate or mapper is malformed is skipped; the others start their runs."""
    register({"where": {"xor": []}}, {"input": {"path": ""}}, {})
    matches = post(api).json()["matches"]
    assert [(match["status"], match.get("reason")) for match in matches] == [
        *(("skipped", "where_eval_error"), ("skipped", "input_projection_error"), ("queued", None)),
    ]
    assert matches[0]["details"].startswith("unknown predicate operator")
    assert set(matches[0]) == {"filterId", "status", "reason", "details"}


def test_an_unknown_workflow_is_an_error_of_its_filter(api: Any) -> None:
    """A filter that cannot start its run says so; when none could, the answer is 502."""
    register({"targetWorkflowId": "nowhere"}, {})
    answer = post(api)
    assert answer.status_code == 200
    error = answer.json()["matches"][0]
    assert (error["status"], error["code"]) == ("error", "workflow_not_found")
    assert "nowhere" in error["reason"]
    register({"targetWorkflowId": "nowhere"})
    answer = post(api)
    assert answer.status_code == 502
    assert answer.json()["ok"] is False
    assert answer.json()["reason"] == "trigger_failed_for_all_matches"
    assert answer.json()["message"] == "every matched filter failed to trigger"


def test_the_same_id_with_other_data(api: Any) -> None:
    """An event id that comes again with other data does not start a run, and says that it is a conflict."""
    register({})
    for n, status in ((1, 200), (2, 502)):
        envelope = {"name": "thing.done", "emittedAt": AT, "data": n, "metadata": {"eventId": "same"}}
        answer = post(api, envelope)
        assert answer.status_code == status
    assert answer.json()["matches"][0]["code"] == "run_conflict"
    assert Run.objects.count() == 1


def test_no_manifest(api: Any) -> None:
    """Without a manifest the event is taken and the answer says that nothing could be started."""
    answer = post(api)
    assert answer.status_code == 200
    assert (answer.json()["ok"], answer.json()["reason"]) == (False, "manifest_not_registered")
    assert "development" in answer.json()["message"]


def test_what_a_manifest_says_of_a_workflow_counts(api: Any) -> None:
    """The compute budget and the concurrency of the manifest's workflow hold for its runs."""
    register({}, timeoutMs=5000, concurrency={"key": "k", "limit": 2})
    record = records.load(post(api).json()["matches"][0]["runId"])
    assert record["timeoutMs"] == 5000
    assert record["concurrencyKey"].endswith(":target:k")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "expected JSON object"),
        ("x", "expected JSON object"),
        ([], '"environment" must be one of production, preview, development'),
        ({"environment": "live"}, '"environment" must be one of production, preview, development'),
        ({"environment": "preview"}, '"envelope" must be an object'),
        ({"environment": "preview", "envelope": 5}, '"envelope" must be an object'),
        ({"environment": "preview", "envelope": []}, '"envelope.name" must be a non-empty string'),
        ({"environment": "preview", "envelope": {"name": ""}}, '"envelope.name" must be a non-empty string'),
        (
            {"environment": "preview", "envelope": {"name": "n", "emittedAt": 5}},
            '"envelope.emittedAt" must be an ISO timestamp string',
        ),
        (
            {"environment": "preview", "envelope": {"name": "n", "emittedAt": AT, "metadata": None}},
            '"envelope.metadata" must be an object when supplied',
        ),
        (
            {"environment": "preview", "envelope": {"name": "n", "emittedAt": AT}, "idempotencyKey": 5},
            '"idempotencyKey" must be a string when supplied',
        ),
        (
            {"environment": "preview", "envelope": {"name": "n", "emittedAt": AT}, "resolveWaiting": "yes"},
            '"resolveWaiting" must be a boolean when supplied',
        ),
        (
            {"environment": "preview", "envelope": {"name": "n" * 401, "emittedAt": AT}},
            '"envelope.name" must have at most 400 characters',
        ),
    ],
)
def test_bodies_that_are_none(api: Any, body: Any, message: str) -> None:
    """A wrong body is 400 ``invalid_body`` with the seed's message."""
    answer = api.post("/api/events", json.dumps(body), content_type="application/json")
    assert (answer.status_code, answer.json()["error"], answer.json()["message"]) == (400, "invalid_body", message)
    assert not EventReceipt.objects.exists()


def test_too_much_data(api: Any, rules: Any) -> None:
    """Data beyond the limit is 413."""
    rules(max_payload_bytes=100)
    register({})
    answer = post(api, {"name": "thing.done", "emittedAt": AT, "data": "x" * 200})
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")


# --- waiting runs ------------------------------------------------------------------------------------------------


def test_an_event_resolves_waiting_runs_when_asked(api: Any) -> None:
    """With ``resolveWaiting`` every run that waits for the type gets the data; without it none does."""
    runs = [drive("waits")["id"] for _ in range(3)]
    post(api)
    assert {records.load(run)["status"] for run in runs} == {"waiting"}
    answer = post(api, resolveWaiting=True).json()
    assert answer["ok"] is True
    assert (answer["resolvedRuns"], answer["resolving"]) == (3, False)
    alarms.work()
    assert [records.load(run)["output"] for run in runs] == [{"n": 1}] * 3


def test_a_run_gets_an_event_once(api: Any, workflow: Any) -> None:
    """A redelivered event does not resolve the next wait of a run that had it before."""

    @workflow("twice")
    def twice(context: Any, given: Any) -> Any:
        return [context.wait_for_event("thing.done"), context.wait_for_event("thing.done")]

    run = drive("twice")["id"]
    post(api, resolveWaiting=True)
    alarms.work()
    assert post(api, resolveWaiting=True).json()["resolvedRuns"] == 1
    alarms.work()
    assert records.load(run)["status"] == "waiting"
    post(api, {"name": "thing.done", "emittedAt": AT, "data": {"n": 2}}, resolveWaiting=True)
    alarms.work()
    assert records.load(run)["output"] == [{"n": 1}, {"n": 2}]


def test_only_the_environment_and_the_tenant(api: Any) -> None:
    """Runs of another environment, and of another tenant than the token's, are left alone."""
    other = drive("waits", environment="production")["id"]
    foreign = drive("waits", tenant_meta={"tenantId": "t2", "projectId": "p", "organizationId": "o"})["id"]
    mine = drive("waits", tenant_meta={"tenantId": "t1", "projectId": "p", "organizationId": "o"})["id"]
    envelope = {"name": "thing.done", "emittedAt": AT}
    came = ingesting.ingest(envelope, environment="development", tenant="t1", resolve_waiting=True)
    assert came.resolved == 1
    alarms.work()
    assert [records.load(run)["status"] for run in (mine, foreign, other)] == ["completed", "waiting", "waiting"]


def test_a_broadcast_that_was_cut_off_goes_on(api: Any, monkeypatch: Any) -> None:
    """Runs that a request had no time for are resolved by a worker, from where it stood, each once."""
    monkeypatch.setattr(broadcasting, "_BATCH", 2)
    runs = [drive("waits")["id"] for _ in range(5)]
    monkeypatch.setattr(broadcasting, "SECONDS", -1.0)
    envelope = {"name": "thing.done", "emittedAt": AT, "data": 7}
    came = ingesting.ingest(envelope, environment="development", resolve_waiting=True)
    assert (came.resolved, came.pending) == (1, True)
    left = broadcasting.seconds_until_next()
    assert left is not None
    assert left <= 0
    for _ in range(5):
        broadcasting.work()
    assert broadcasting.seconds_until_next() is None
    assert EventReceipt.objects.get().resolved == 5
    alarms.work()
    assert [records.load(run)["output"] for run in runs] == [7] * 5
    assert EventReceipt.objects.get().payload is None


def test_receipts_are_forgotten(api: Any) -> None:
    """Old receipts that are done can be removed; those at work stay."""
    post(api)
    post(api, {"name": "a", "emittedAt": AT})
    EventReceipt.objects.filter(name="a").update(wake_at=1)
    assert broadcasting.prune(clock.now_ms() + 1) == 1
    assert EventReceipt.objects.get().name == "a"


def test_the_longest_names(api: Any) -> None:
    """Names, times and keys at their limits are kept."""
    register({"eventType": "n" * 200})
    assert post(api, {"name": "n" * 400, "emittedAt": "t" * 100}).status_code == 200
    answer = post(api, {"name": "n" * 200, "emittedAt": "t" * 100}).json()
    assert len(answer["eventId"]) > 300
    envelope = {"name": "n" * 200, "emittedAt": "t", "metadata": {"eventId": "ü" * 300}}
    answer = post(api, envelope, idempotencyKey="k" * 300).json()
    assert answer["matches"][0]["status"] == "queued"
    assert EventReceipt.objects.count() == 3


def test_retention_takes_receipts_along(api: Any, rules: Any) -> None:
    """What the retention of runs removes, it removes of events too."""
    rules(retention_days=1)
    post(api)
    assert EventReceipt.objects.update(created_at=1) == 1
    control.retire_by_policy()
    assert not EventReceipt.objects.exists()


@pytest.mark.parametrize("tenant", ["", "acme"])
def test_a_batch_of_a_broadcast_is_read_in_order(tenant: str) -> None:
    """Which runs come next is read from an index, without sorting all that wait."""
    receipt = EventReceipt(id="e", tenant=tenant, environment="production", name="paid", cursor="run_5")
    plan = broadcasting._waiting(receipt).explain()
    if connection.vendor == "sqlite":
        assert "TEMP B-TREE" not in plan
        assert "runs_waitpoint_match (kind=? AND match_key=? AND run_id>?)" in plan
