"""Places under concurrency keys: whose they are, who waits for one, and requests that come again."""

from __future__ import annotations

from typing import Any

import pytest

from runs import clock, control, lifecycle, queries, records
from runs.models import Run
from tests.runs.conftest import due_now, run, send, statuses, wake
from zelavis.errors import Conflict

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _workflows(workflow: Any) -> None:
    for name in ("c", "b:c", "w" * 200):
        workflow(name)(lambda context, given: context.wait_for_event("go"))
    workflow("at-once")(lambda context, given: "done")


def later() -> int:
    """A time that no test lives to see."""
    return clock.now_ms() + 3_600_000


@pytest.mark.parametrize("way", ["the alarm", "wake", "pause"])
def test_a_delayed_run_takes_the_place_it_waited_for(way: str) -> None:
    """A run that is delayed and finds no place is started when both its time and a place have come, never before."""
    run("c", concurrency={"key": "k"}, run_id="holder")
    lifecycle.trigger("at-once", concurrency={"key": "k"}, delay_until=later(), run_id="other")
    lifecycle.trigger("c", concurrency={"key": "k"}, delay_until=later(), run_id="delayed")
    assert queries.why("delayed")["reason"] == "concurrency"
    if way == "wake":
        control.wake("delayed")
    elif way == "pause":
        control.pause("delayed")
        control.unpause("delayed")
    wake()
    assert records.load("delayed")["invocationCount"] == 0
    send("holder", "EVENT", "go")
    wake()
    assert records.load("delayed")["invocationCount"] == (1 if way == "wake" else 0)
    due_now("delayed")
    wake()
    assert send("delayed", "EVENT", "go")["status"] == "completed"


def test_a_delayed_run_paused_without_a_place_goes_on() -> None:
    """Its place is passed on while it is paused; unpaused it takes the one that is free."""
    run("c", concurrency={"key": "k"}, run_id="holder")
    lifecycle.trigger("c", concurrency={"key": "k"}, delay_until=later(), run_id="delayed")
    control.pause("delayed")
    send("holder", "EVENT", "go")
    control.unpause("delayed")
    due_now("delayed")
    wake()
    assert send("delayed", "EVENT", "go")["status"] == "completed"


def test_names_with_colons_are_not_another_tenants() -> None:
    """Tenant ``a`` with workflow ``b:c`` shares nothing with tenant ``a:b`` and its workflow ``c``."""
    run("c", concurrency={"key": "k"}, tenant_meta=lifecycle.default_tenant_meta("a:b"), run_id="theirs")
    rule = {"key": "k", "strategy": "cancel-in-progress"}
    run("b:c", concurrency=rule, tenant_meta=lifecycle.default_tenant_meta("a"), run_id="ours")
    assert (statuses("theirs"), statuses("ours")) == ("waiting", "waiting")


def test_the_longest_names_keep_their_keys_apart() -> None:
    """Names that fill the column do not push the caller's key out of it."""
    for key in ("one", "two"):
        made = run("w" * 200, concurrency={"key": key}, tenant_meta=lifecycle.default_tenant_meta("t" * 200))
        assert made["status"] == "waiting"
        assert len(made["concurrencyKey"]) <= 300


def test_a_rule_may_be_used_for_many_runs() -> None:
    """The caller's own dictionary is left as it was, so the second run waits for the first."""
    rule = {"key": "k"}
    run("c", concurrency=rule)
    assert run("c", concurrency=rule)["status"] == "running"
    assert rule == {"key": "k"}


def test_a_request_that_comes_again_needs_no_place() -> None:
    """With ``cancel-newest`` a repeated request gives its run, also when another run holds the place by now."""
    rule = {"key": "k", "strategy": "cancel-newest"}
    run("c", concurrency=rule, run_id="first")
    send("first", "EVENT", "go")
    run("c", concurrency=rule, run_id="second")
    assert lifecycle.trigger("c", concurrency=rule, run_id="first").created is False
    assert statuses("second") == "waiting"


@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("paused", [False, True])
def test_a_deadline_ends_a_run_that_waits_for_a_place(delayed: bool, paused: bool) -> None:
    """A run that finds no place until its deadline fails with it, is never invoked, and cannot be woken past it."""
    run("c", concurrency={"key": "k"}, run_id="holder")
    until = later() if delayed else None
    lifecycle.trigger("c", concurrency={"key": "k"}, deadline=later(), delay_until=until, run_id="waits")
    if paused:
        control.pause("waits")
        control.unpause("waits")
    if not delayed:
        with pytest.raises(Conflict):
            control.wake("waits")
    wake()
    assert queries.why("waits")["reason"] == "concurrency"
    Run.objects.filter(pk="waits").update(deadline=1, wake_at=1)
    wake()
    record = records.load("waits")
    assert record["error"]["code"] == "DEADLINE_EXCEEDED"
    assert send("holder", "EVENT", "go")["status"] == "completed"


def test_a_deadline_does_not_keep_a_run_from_its_place() -> None:
    """The place that is free goes to the run that waits for it, whether it has a deadline or not."""
    run("c", concurrency={"key": "k"}, run_id="holder")
    lifecycle.trigger("c", concurrency={"key": "k"}, deadline=later(), run_id="waits")
    send("holder", "EVENT", "go")
    wake()
    assert queries.why("waits")["reason"] == "waiting"
    assert send("waits", "EVENT", "go")["status"] == "completed"
