"""A worker stays for alarms that are near."""

from __future__ import annotations

import time
from typing import Any

import pytest

from runs import alarms, clock, lifecycle, records

pytestmark = pytest.mark.django_db


def _delayed(ms: int) -> str:
    return lifecycle.trigger("bench-nothing", delay_until=clock.now_ms() + ms, claim=True).run_id


def test_a_worker_stays_for_an_alarm_that_is_near(workflow: Any) -> None:
    """A run that becomes due while a worker lingers is driven by it, without another bell."""
    workflow("bench-nothing")(lambda context, given: "woken")
    run_id = _delayed(80)
    assert alarms.work(linger=0.5) == 1
    assert records.load(run_id)["output"] == "woken"


def test_a_worker_does_not_stay_for_an_alarm_that_is_far(workflow: Any) -> None:
    """A worker that lingers gives its thread back when the next alarm is further away than it may wait."""
    workflow("bench-nothing")(lambda context, given: "woken")
    _delayed(5_000)
    began = time.monotonic()
    assert alarms.work(linger=0.5) == 0
    assert time.monotonic() - began < 1


def test_a_worker_told_not_to_linger_goes_at_once(workflow: Any) -> None:
    """Without lingering only what is due is driven."""
    workflow("bench-nothing")(lambda context, given: "woken")
    _delayed(80)
    assert alarms.work() == 0


def test_a_worker_that_stayed_asks_for_help(workflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When more becomes due than a lingering worker gets done at once, it rings for another."""
    rung: list[str] = []
    monkeypatch.setattr(alarms.doorbell, "ring", lambda task, *args: rung.append(task))
    workflow("bench-nothing")(lambda context, given: "first")
    workflow("bench-busy")(lambda context, given: time.sleep(0.03))
    _delayed(60)
    due = clock.now_ms() + 150
    for _ in range(3):
        lifecycle.trigger("bench-busy", delay_until=due, claim=True)
    assert alarms.work(linger=0.5) == 4
    assert rung == ["runs.tasks.work"]
