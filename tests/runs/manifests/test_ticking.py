"""Schedules: what they start, when, and how often."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from runs import alarms, lifecycle, records
from runs.manifests import registering, ticking
from runs.models import Run, Schedule

HOUR = 3_600_000
NOW = 1_700_000_000_000
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _workflows(workflow: Callable[..., Any]) -> None:
    @workflow("job")
    def job(context: Any, given: Any) -> Any:
        return {"got": given}

    @workflow("waits")
    def waits(context: Any, given: Any) -> Any:
        return context.wait_for_signal("go")


def schedule(workflow_id: str = "job", **declared: Any) -> Schedule:
    document = {"versionId": "v1", "workflows": [{"id": workflow_id, "schedules": [{"every": "1h", **declared}]}]}
    registering.register(document, environment="production", actor="test", now=NOW)
    return Schedule.objects.get()


def ids() -> list[str]:
    return list(Run.objects.order_by("created_at", "id").values_list("id", flat=True))


def test_a_slot_starts_a_run() -> None:
    """When its time has come the workflow runs with the declared input, once, and the next slot is set."""
    row = schedule(input={"from": "clock"}, name="hourly")
    assert ticking.tick(now=NOW + HOUR - 1) == 0
    assert ticking.tick(now=NOW + HOUR + 30) == 1
    assert ticking.tick(now=NOW + HOUR + 31) == 0
    key = f"v1:job:hourly:{NOW + HOUR}"
    assert ids() == [f"idem-job-{key}"]
    alarms.work()
    record = records.load(f"idem-job-{key}")
    assert record["triggeredBy"] == {"kind": "schedule", "scheduleId": "v1:job:hourly"}
    assert (record["idempotencyKey"], record["environment"]) == (key, "production")
    assert record["input"] == {"from": "clock"}
    row.refresh_from_db()
    assert (row.next_at, row.last_fire_at, row.last_run_id) == (NOW + 2 * HOUR, NOW + HOUR, record["id"])


def test_what_was_missed_is_run_once() -> None:
    """After five hours down one run stands for all missed slots, and the rhythm is kept."""
    schedule()
    assert ticking.tick(now=NOW + 5 * HOUR + 90_000) == 1
    assert ticking.tick(now=NOW + 5 * HOUR + 90_001) == 0
    assert Schedule.objects.get().next_at == NOW + 6 * HOUR


def test_what_was_missed_is_skipped_when_declared() -> None:
    """With ``missed: skip`` nothing is made up for, and that it was passed over is noted."""
    schedule(missed="skip")
    assert ticking.tick(now=NOW + 5 * HOUR + 90_000) == 0
    row = Schedule.objects.get()
    assert (row.next_at, row.last_skipped_at) == (NOW + 6 * HOUR, NOW + 5 * HOUR + 90_000)
    assert ticking.tick(now=NOW + 6 * HOUR + 59_000) == 1


@pytest.mark.parametrize(("overlap", "runs"), [("skip", 1), ("queue", 3), ("allow", 3)])
def test_overlap(overlap: str, runs: int) -> None:
    """While a run is under way: ``skip`` passes the slot, ``allow`` starts beside it, ``queue`` starts after it."""
    schedule("waits", overlap=overlap)
    for hour in (1, 2, 3):
        ticking.tick(now=NOW + hour * HOUR)
        alarms.work()
    states = [(run.status, run.invocations > 0) for run in Run.objects.order_by("created_at", "id")]
    assert len(states) == runs
    parked = states.count(("waiting", True))
    assert parked == (3 if overlap == "allow" else 1)


def test_a_queued_slot_starts_when_the_one_before_ends() -> None:
    """With ``queue`` the runs follow one another."""
    schedule("waits", overlap="queue")
    for hour in (1, 2):
        ticking.tick(now=NOW + hour * HOUR)
        alarms.work()
    first, second = ids()
    lifecycle.cancel(first)
    alarms.work()
    assert records.load(second)["status"] == "waiting"


def test_a_skipped_schedule_goes_on_when_the_run_ended() -> None:
    """After the run under way has ended the next slot starts one again."""
    schedule("waits")
    ticking.tick(now=NOW + HOUR)
    alarms.work()
    assert ticking.tick(now=NOW + 2 * HOUR) == 0
    lifecycle.cancel(ids()[0])
    assert ticking.tick(now=NOW + 3 * HOUR) == 1


def test_a_moment_comes_once() -> None:
    """``at`` fires once and never again."""
    document = {"versionId": "v1", "workflows": [{"id": "job", "schedules": [{"at": NOW + HOUR}]}]}
    registering.register(document, environment="production", actor="test", now=NOW)
    assert ticking.tick(now=NOW + 50 * HOUR) == 1
    assert Schedule.objects.get().next_at is None
    assert ticking.seconds_until_next() is None


def test_one_broken_schedule_stops_no_other(monkeypatch: Any) -> None:
    """A schedule whose workflow is unknown, or whose row is broken, says so and moves on; the others run."""
    workflows = [{"id": name, "schedules": [{"every": "1h"}]} for name in ("broken", "job", "nowhere")]
    registering.register({"versionId": "v", "workflows": workflows}, environment="production", actor="t", now=NOW)
    Schedule.objects.filter(workflow_id="broken").update(declaration="[not json")
    assert ticking.tick(now=NOW + HOUR) == 1
    told = dict(Schedule.objects.values_list("workflow_id", "last_error"))
    assert told["job"] == ""
    assert "nowhere" in told["nowhere"]
    assert told["broken"]
    assert dict(Schedule.objects.values_list("workflow_id", "next_at"))["nowhere"] == NOW + 2 * HOUR
    assert ticking.tick(now=NOW + HOUR + 1) == 0


def test_a_pause(api: Any) -> None:
    """A paused schedule does not come; when it goes on, slots that passed meanwhile do not count."""
    row = schedule()
    ticking.pause(row, paused=True, actor="user:a", now=NOW)
    assert ticking.tick(now=NOW + 3 * HOUR) == 0
    assert ticking.seconds_until_next() is None
    data = api.get("/api/schedules/production").json()["data"]
    assert (data[0]["paused"], data[0]["nextRunAt"]) == (True, None)
    row.refresh_from_db()
    ticking.pause(row, paused=False, actor="user:a", now=NOW + 3 * HOUR + 5)
    assert ticking.tick(now=NOW + 3 * HOUR + 6) == 0
    assert Schedule.objects.get().next_at == NOW + 4 * HOUR


def test_the_listing(api: Any) -> None:
    """The route shows each schedule with its declaration, next and last run."""
    schedule(name="hourly", timezone="UTC")
    (shown,) = api.get("/api/schedules/production").json()["data"]
    assert shown == {
        "workflowId": "job",
        "scheduleId": "v1:job:hourly",
        "schedule": {"every": "1h", "name": "hourly", "timezone": "UTC"},
        "nextRunAt": NOW + HOUR,
        "enabled": True,
        "stateUpdatedAt": NOW,
    }
    ticking.tick(now=NOW + HOUR)
    alarms.work()
    (shown,) = api.get("/api/schedules/production").json()["data"]
    assert shown["lastFireAt"] == NOW + HOUR
    assert shown["lastRunId"] == f"idem-job-v1:job:hourly:{NOW + HOUR}"
    assert shown["lastSuccessfulRunAt"] > 0


def test_cron_in_a_time_zone(api: Any) -> None:
    """A cron schedule follows its time zone over a change of the clocks."""
    document = {
        "versionId": "v",
        "workflows": [{"id": "job", "schedules": [{"cron": "30 2 * * *", "timezone": "Europe/Berlin"}]}],
    }
    # 2026-03-27 12:00 UTC; the clocks go forward on the 29th.
    start = 1_774_612_800_000
    registering.register(document, environment="production", actor="t", now=start)
    slots = []
    for _ in range(3):
        slots.append(slot := Schedule.objects.get().next_at)
        assert slot is not None
        assert ticking.tick(now=slot) == 1
        alarms.work()
    assert [(slot - start) / HOUR for slot in slots if slot] == [13.5, 37.0, 60.5]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("threads_database")
def test_several_beats_fire_a_slot_once() -> None:
    """However many processes tick at once, a slot is fired once."""
    schedule()
    errors: list[Exception] = []

    def beat() -> None:
        try:
            ticking.tick(now=NOW + HOUR)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=beat) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Run.objects.count() == 1
    assert Schedule.objects.get().next_at == NOW + 2 * HOUR
