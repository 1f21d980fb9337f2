"""The database refuses or breaks in the middle of a drive: nothing of that is the run's fault."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection

from runs import alarms, clock, engine, leases, lifecycle, records
from runs.dispatchers import choose
from runs.models import Dispatcher, JournalEntry, Run, RunData
from tests.runs.conftest import due_now

pytestmark = pytest.mark.django_db(transaction=True)


def read_only(*, on: bool) -> None:
    """Let the database refuse what is written next, as a full or failed-over one does."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"SET default_transaction_read_only = {'on' if on else 'off'}")
        else:
            cursor.execute(f"PRAGMA query_only = {'ON' if on else 'OFF'}")


def test_a_body_cannot_take_a_failed_commit_for_its_own_failure(workflow: Any) -> None:
    """A step that could not be journaled ends the drive, though the body catches everything; then it goes on."""
    broken = [True]

    @workflow("away-swallows")
    def body(context: Any, given: Any) -> Any:
        def work() -> int:
            if broken[0]:
                read_only(on=True)
            return 1

        try:
            context.step("first", work)
        except Exception:
            read_only(on=False)
            return "swallowed"
        return context.step("second", lambda: 2)

    triggered = lifecycle.trigger("away-swallows", claim=True)
    assert triggered.held
    try:
        with pytest.raises(DatabaseError):
            engine.drive(triggered.held)
    finally:
        with contextlib.suppress(DatabaseError):
            read_only(on=False)
    assert leases.held_here() == []
    assert records.load(triggered.run_id)["status"] == "running"
    broken[0] = False
    due_now(triggered.run_id)
    alarms.work()
    record = records.load(triggered.run_id)
    assert (record["status"], record["output"]) == ("completed", 2)
    assert list(record["journal"]["stepResults"]) == ["first", "second"]


def test_a_connection_that_broke_costs_no_lease(workflow: Any) -> None:
    """A driver whose connection was cut puts the run down over a new one: due again at once, no death counted."""

    @workflow("away-cut")
    def body(context: Any, given: Any) -> Any:
        return context.step("only", lambda: 1)

    triggered = lifecycle.trigger("away-cut", claim=True)
    assert triggered.held

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "runs_journal" in sql or "next_seq = next_seq" in sql:
            connection.close()
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
        engine.drive(triggered.held)
    run = Run.objects.get(pk=triggered.run_id)
    assert (run.status, run.lease_owner, run.claims) == ("running", "", 0)
    assert run.wake_at is not None
    assert run.wake_at <= clock.now_ms() + leases.PUT_DOWN_MS
    due_now(triggered.run_id)
    alarms.work()
    assert records.load(triggered.run_id)["status"] == "completed"


def test_a_worker_drives_what_it_claimed(workflow: Any) -> None:
    """A worker that cannot ask whether more is due still drives what it has claimed: no claim is kept by nobody."""

    @workflow("away-help")
    def body(context: Any, given: Any) -> Any:
        return context.step("only", lambda: 1)

    run_id = lifecycle.trigger("away-help").run_id

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "AS due" in sql:
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        assert alarms.work() == 1
    assert records.load(run_id)["status"] == "completed"
    assert leases.held_here() == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda run_id: RunData.objects.filter(pk=run_id).update(meta="{"),
        lambda run_id: RunData.objects.filter(pk=run_id).delete(),
        lambda run_id: JournalEntry.objects.filter(run_id=run_id).update(data="not json"),
    ],
    ids=["document", "no document", "journal"],
)
def test_a_broken_row_does_not_stop_the_others(workflow: Any, rules: Any, damage: Any) -> None:
    """A run whose rows cannot be read is tried again with the reason and then given up; the others are driven."""
    rules(max_attempts=2, retry_first_seconds=0.01)

    @workflow("away-sleeper")
    def body(context: Any, given: Any) -> Any:
        context.step("first", lambda: 1)
        context.sleep(60)
        return "woken"

    broken, whole = (lifecycle.trigger("away-sleeper").run_id for _ in range(2))
    alarms.work()
    damage(broken)
    for run_id in (broken, whole):
        due_now(run_id)
    alarms.work()
    assert records.load(whole)["status"] == "completed"
    due_now(broken)
    alarms.work()
    run = Run.objects.get(pk=broken)
    assert run.status == "failed"
    assert run.wake_at is None
    if RunData.objects.filter(pk=broken).exists():
        assert "cannot be read" in RunData.objects.get(pk=broken).error


def test_a_dispatcher_whose_secret_cannot_be_read(tenant: Any) -> None:
    """A run whose dispatcher was sealed under another key waits for a retry that says so; no claim is left behind."""
    row = Dispatcher.objects.create(name="sealed", url=tenant.url, secret="")
    choose.forget()
    try:
        triggered = lifecycle.trigger("away-elsewhere", claim=True)
        Dispatcher.objects.filter(pk=row.pk).update(secret="sealed under another key")
        choose.forget()
        assert triggered.held
        engine.drive(triggered.held)
        run = Run.objects.get(pk=triggered.run_id)
        assert (run.status, run.attempts, run.lease_owner) == ("running", 1, "")
        assert "secret_unreadable" in JournalEntry.objects.get(run_id=run.id, kind="retry").data
        assert leases.held_here() == []
    finally:
        row.delete()
        choose.forget()


def test_a_drive_that_fails_for_any_reason_keeps_no_lease_alive(workflow: Any) -> None:
    """An error that nobody foresaw ends the drive with its claim, so that the lease ends and the run is found."""

    @workflow("away-unforeseen")
    def body(context: Any, given: Any) -> Any:
        return context.step("only", lambda: 1)

    triggered = lifecycle.trigger("away-unforeseen", claim=True)
    assert triggered.held

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "completed_at" in sql:
            raise LookupError("unforeseen")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse), pytest.raises(LookupError):
        engine.drive(triggered.held)
    assert leases.held_here() == []


def test_the_time_is_carried_on_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it was asked, a database that does not answer stops nobody's clock."""
    if connection.vendor != "postgresql":
        assert abs(clock.now_ms() - time.time() * 1000) < 1000
        return
    before = clock.now_ms()
    monkeypatch.setattr(clock, "_ask_at", float("-inf"))

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        raise OperationalError("away")

    with connection.execute_wrapper(refuse):
        assert 0 <= clock.now_ms() - before < 5000
