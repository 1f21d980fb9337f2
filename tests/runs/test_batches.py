"""Several runs claimed at once: each is driven once and in turn, and none waits for a slow one."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import OperationalError, connection

from runs import alarms, batches, clock, engine, leases, lifecycle, records, states
from runs.models import JournalEntry, Run, Waitpoint
from tests.runs.conftest import due_now, run, wake
from tests.runs.test_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def _due(workflow_id: str, count: int, **more: Any) -> list[str]:
    """Runs that are due since a moment, the first the longest."""
    now = clock.now_ms() - 1000
    return [lifecycle.trigger(workflow_id, input=place, now=now + place, **more).run_id for place in range(count)]


def test_a_burst_takes_few_statements(workflow: Any) -> None:
    """Forty sleepers that are due at once take less than half of the statements of forty claims."""
    workflow("batch-sleeper")(lambda context, given: context.sleep(3600))
    ids = [run("batch-sleeper")["id"] for _ in range(40)]
    for run_id in ids:
        due_now(run_id)
    seen: list[str] = []

    def note(execute: Any, sql: str, *given: Any) -> Any:
        seen.append(sql)
        return execute(sql, *given)

    with connection.execute_wrapper(note):
        assert wake() == 40
    assert {records.load(run_id)["status"] for run_id in ids} == {"completed"}
    finish = 1 if connection.vendor == "postgresql" else 4
    assert len(seen) < 40 * (finish + 2)


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="asks SQLite's planner")
def test_no_statement_of_a_burst_reads_a_whole_table(workflow: Any) -> None:
    """However many sleep: what claims, wakes, drives and ends those that are due finds its rows by an index."""
    workflow("batch-sleeper")(lambda context, given: context.sleep(3600))
    for run_id in [run("batch-sleeper")["id"] for _ in range(20)]:
        due_now(run_id)
    seen: dict[str, Any] = {}

    def note(execute: Any, sql: str, params: Any, *given: Any) -> Any:
        seen.setdefault(sql, params)
        return execute(sql, params, *given)

    with connection.execute_wrapper(note):
        assert wake() == 20
    planned = 0
    with connection.cursor() as cursor:
        for sql, params in seen.items():
            if sql.split()[0] in ("SELECT", "UPDATE", "DELETE"):
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
                plan = [str(row[3]) for row in cursor.fetchall()]
                assert not [line for line in plan if line.startswith("SCAN runs_") and " USING " not in line], sql
                planned += 1
    assert planned >= 5


def test_the_longest_overdue_goes_first(workflow: Any) -> None:
    """Claimed together or not: the order is that of the wake times."""
    order: list[int] = []
    workflow("batch-plain")(lambda context, given: order.append(given))
    _due("batch-plain", 30)
    wake()
    assert order == list(range(30))


def test_what_is_more_urgent_or_has_died_is_claimed_alone(workflow: Any) -> None:
    """No batch while a run of higher priority is due, and none with a run whose last driver died."""
    workflow("batch-plain")(lambda context, given: None)
    first, second, third = _due("batch-plain", 3)
    (urgent,) = _due("batch-plain", 1, priority=1)
    assert leases.claim_several(10) == []
    held = leases.claim_next()
    assert held is not None
    assert held.id == urgent
    Run.objects.filter(pk=first).update(claims=1)
    assert [held.id for held in leases.claim_several(10)] == [second, third]
    alone = leases.claim_next()
    assert alone is not None
    assert alone.id == first


def test_every_reason_to_wake_is_seen_to(workflow: Any) -> None:
    """Sleeps, several timeouts of one run, deadlines and wake-ups for nothing may stand in one batch."""
    workflow("batch-sleep")(lambda context, given: context.sleep(3600))
    workflow("batch-waits")(
        lambda context, given: context.wait_all(context.event("a", timeout=3600), context.event("b", timeout=3600))
    )
    workflow("batch-for-ever")(lambda context, given: context.wait_for_event("never"))
    sleeper, waits = run("batch-sleep")["id"], run("batch-waits")["id"]
    late = run("batch-for-ever", deadline=clock.now_ms() + 3_600_000)["id"]
    early = run("batch-sleep")["id"]
    due_now(sleeper)
    due_now(waits)
    Run.objects.filter(pk=late).update(wake_at=1, deadline=1)
    Run.objects.filter(pk=early).update(wake_at=1)
    opened = leases.claim_several(10)
    assert sorted(held.workflow_id for held in opened) == ["batch-for-ever", "batch-sleep", "batch-waits"]
    assert early not in [held.id for held in opened]
    for held in opened:
        engine.drive(held)
    assert records.load(sleeper)["status"] == "completed"
    assert records.load(waits)["status"] == "completed"
    assert list(JournalEntry.objects.filter(run_id=waits, kind="resolved").values_list("seq", flat=True)) == [2, 3]
    assert records.load(late)["error"]["code"] == "DEADLINE_EXCEEDED"
    again = Run.objects.get(pk=early)
    assert (again.status, again.lease_owner, again.claims) == (states.WAITING, "", 0)
    assert again.wake_at == Waitpoint.objects.get(run_id=early).wake_at


def test_a_run_that_is_cancelled_before_its_turn_is_left_alone(workflow: Any) -> None:
    """It stays cancelled, and the others of its batch end."""
    ids: list[str] = []
    workflow("batch-cancels")(lambda context, given: lifecycle.cancel(ids[-1]) if given == 6 else None)
    ids += _due("batch-cancels", 12)
    wake()
    found = [records.load(run_id)["status"] for run_id in ids]
    assert found == ["completed"] * 11 + ["cancelled"]


@pytest.mark.usefixtures("threads_database")
def test_nobody_waits_for_a_slow_run_of_his_batch(workflow: Any) -> None:
    """What a thread has claimed and cannot begin for a quarter of a second is driven by another."""
    go_on, done = threading.Event(), []

    @workflow("batch-slow")
    def slow(context: Any, given: Any) -> None:
        if given == 3:  # the first of a batch of four
            assert go_on.wait(20)
        done.append(given)

    ids = _due("batch-slow", 10)

    def first() -> None:
        alarms.work()

    def second() -> None:
        until = time.monotonic() + 15
        while len(done) < 9 and time.monotonic() < until:
            time.sleep(0.05)
            if 0 in done:
                alarms.work()
        go_on.set()

    at_once(first, second)
    assert done[-1] == 3
    assert sorted(done) == list(range(10))
    assert {records.load(run_id)["invocationCount"] for run_id in ids} == {1}


@pytest.mark.usefixtures("threads_database")
def test_no_run_is_in_two_batches(workflow: Any) -> None:
    """Four threads that claim at once get different runs, and all of them."""
    workflow("batch-plain")(lambda context, given: None)
    ids = _due("batch-plain", 60)
    taken: list[str] = []

    def take() -> None:
        while several := leases.claim_several(7):
            taken.extend(held.id for held in several)

    at_once(*[take] * 4)
    assert sorted(taken) == sorted(ids)


def test_what_a_broken_worker_has_claimed_is_due_again_at_once(workflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the database fails one drive, the rest of the batch does not wait for the end of its lease."""
    workflow("batch-plain")(lambda context, given: None)
    ids = _due("batch-plain", 12)
    drive = engine.drive

    def broken(held: Any, **more: Any) -> Any:
        if held.id == ids[7]:
            leases.put_down(held)
            leases.let_go(held)
            raise OperationalError("gone")
        return drive(held, **more)

    monkeypatch.setattr(engine, "drive", broken)
    with pytest.raises(OperationalError):
        wake()
    monkeypatch.undo()
    assert leases.held_here() == []
    left = Run.objects.filter(status=states.RUNNING)
    assert {each.pk for each in left} == set(ids[7:])
    assert {(each.lease_owner, each.claims) for each in left} == {("", 0)}
    assert all(each.wake_at <= clock.now_ms() + leases.PUT_DOWN_MS for each in left)


def test_slow_runs_are_claimed_one_by_one() -> None:
    """A batch is never more than what the last drive's time promises to end soon."""
    batch = batches.Batch()
    for _ in range(10):
        batch.driven(0.001)
    assert batch._size == batches.MOST
    batch.driven(0.02)
    assert batch._size == 2
    batch.driven(3.0)
    assert batch._size == 1
