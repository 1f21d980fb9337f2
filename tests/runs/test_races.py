"""Several at once on one run: real threads, real connections, real commits; one of each kind wins."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connections

from runs import alarms, engine, inbox, leases, lifecycle, records, states
from runs.models import JournalEntry, Run, Slot, Waitpoint
from tests.runs.conftest import due_now
from tests.runs.scripted import Tenant, completed
from zelavis.errors import ZelavisError

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("threads_database")]


def at_once(*deeds: Callable[[], Any]) -> list[Any]:
    """Do all of them at the same moment, each in a thread; results or errors in order."""
    barrier = threading.Barrier(len(deeds))
    results: list[Any] = [None] * len(deeds)

    def do(index: int, deed: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            results[index] = deed()
        except (ZelavisError, AssertionError) as error:
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=do, args=(index, deed)) for index, deed in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def finish() -> None:
    """Work until nothing is due."""
    while alarms.work():
        pass


def test_one_claim_of_many(workflow: Any) -> None:
    """Of eight drivers that claim one run at once, one gets it."""
    workflow("race-plain")(lambda context, given: 1)
    for _ in range(10):
        run_id = lifecycle.trigger("race-plain").run_id
        held = [held for held in at_once(*[partial(leases.claim, run_id)] * 8) if held is not None]
        assert len(held) == 1
        engine.drive(held[0])


def test_fifty_answers_to_one_token(workflow: Any) -> None:
    """One of fifty answers is taken; each of the others is told that it was not."""
    workflow("race-token")(lambda context, given: context.token("t").wait())
    run_id = lifecycle.trigger("race-token").run_id
    finish()
    results = at_once(
        *[lambda n=n: inbox.inject(run_id, "MANUAL", "t", payload=n, buffer=True).disposition for n in range(16)]
    )
    assert Counter(results) == {"matched": 1, "expired": 15}
    finish()
    record = records.load(run_id)
    assert record["status"] == "completed"
    assert record["output"] in range(16)


def test_every_event_finds_its_wait(workflow: Any) -> None:
    """Events sent at once by many, while the run is driven, each resolve one wait, in the order of their receipts."""

    @workflow("race-events")
    def body(context: Any, given: Any) -> Any:
        return [context.wait_for_event("e") for _ in range(12)]

    run_id = lifecycle.trigger("race-events").run_id
    receipts = at_once(
        *[lambda n=n: inbox.inject(run_id, "EVENT", "e", payload=n, buffer=True).id for n in range(12)],
        finish,
    )
    finish()
    record = records.load(run_id)
    assert record["status"] == "completed"
    assert sorted(record["output"]) == list(range(12))
    assert len(set(receipts[:12])) == 12


def test_timeout_against_event(workflow: Any) -> None:
    """A wait that times out while its event arrives ends one way, and the journal has one resolution."""
    workflow("race-timeout")(lambda context, given: context.wait_for_event("e", timeout=3600))
    for _ in range(15):
        run_id = lifecycle.trigger("race-timeout").run_id
        finish()
        due_now(run_id)
        sent, _ = at_once(
            lambda run_id=run_id: inbox.inject(run_id, "EVENT", "e", payload="event", buffer=True).disposition,
            lambda run_id=run_id: engine.drive_due(run_id),
        )
        finish()
        record = records.load(run_id)
        assert record["output"] == ("event" if sent == states.MATCHED else None)
        assert JournalEntry.objects.filter(run_id=run_id, kind="resolved").count() == 1


def test_cancel_against_everything(workflow: Any) -> None:
    """Cancel, event, alarm and driver at once: one terminal state, and it stays."""

    @workflow("race-cancel")
    def body(context: Any, given: Any) -> Any:
        context.wait_any(context.event("e"), context.timer(3600))
        return context.step("after", lambda: "after")

    for _ in range(15):
        run_id = lifecycle.trigger("race-cancel").run_id
        finish()
        due_now(run_id)
        cancelled, *_ = at_once(
            lambda run_id=run_id: lifecycle.cancel(run_id, reason="enough"),
            lambda run_id=run_id: inbox.inject(run_id, "EVENT", "e", buffer=True).disposition,
            lambda run_id=run_id: engine.drive_due(run_id),
        )
        finish()
        record = records.load(run_id)
        assert record["status"] == ("cancelled" if cancelled is None else "completed")
        assert not Waitpoint.objects.filter(run_id=run_id, state="pending").exists()
        assert Run.objects.get(pk=run_id).wake_at is None


def test_the_same_trigger_by_many(workflow: Any) -> None:
    """One key used by many at once makes one run, and all are told the same id."""
    workflow("race-key")(lambda context, given: 1)
    ids = at_once(*[lambda: lifecycle.trigger("race-key", idempotency_key="k").run_id] * 8)
    assert len(set(ids)) == 1
    ids = at_once(*[lambda: lifecycle.trigger("race-key", run_id="fixed").run_id] * 8)
    assert ids == ["fixed"] * 8
    assert Run.objects.count() == 2


def test_places_are_never_more_than_the_limit(workflow: Any) -> None:
    """Runs triggered at once under a key with two places take two; as they end the others follow, one by one."""
    workflow("race-slot")(lambda context, given: context.wait_for_event("go"))
    rule = {"key": "k", "limit": 2, "strategy": "queue"}
    ids = at_once(*[lambda: lifecycle.trigger("race-slot", concurrency=dict(rule)).run_id] * 6)
    ended: list[str] = []
    while len(ended) < 6:
        finish()
        assert Slot.objects.count() == min(2, 6 - len(ended))
        waiting = [run_id for run_id in ids if Run.objects.get(pk=run_id).status == states.WAITING]
        assert len(waiting) == Slot.objects.count()
        at_once(*[lambda run_id=run_id: inbox.inject(run_id, "EVENT", "go", buffer=True) for run_id in waiting])
        finish()
        ended += waiting


def test_parent_and_children_end_at_once(workflow: Any) -> None:
    """Children that end at the same moment are each told to their parent once, without a deadlock."""
    workflow("race-kid")(lambda context, given: context.wait_for_event("grow") and given)

    @workflow("race-parent")
    def body(context: Any, given: Any) -> Any:
        return context.wait_all(*[context.child("race-kid", n) for n in range(4)])

    run_id = lifecycle.trigger("race-parent").run_id
    finish()
    children = list(Run.objects.filter(parent_id=run_id).values_list("pk", flat=True))
    assert len(children) == 4

    def grow(child: str) -> None:
        receipt = inbox.inject(child, "EVENT", "grow", payload=True, claim=True)
        assert receipt.held is not None
        engine.drive(receipt.held)

    at_once(*[lambda child=child: grow(child) for child in children], finish)
    finish()
    record = records.load(run_id)
    assert (record["status"], record["output"]) == ("completed", [0, 1, 2, 3])


def test_three_sweepers_and_many_alarms(workflow: Any) -> None:
    """Three workers that look at once deliver each alarm once."""
    workflow("race-sleep")(lambda context, given: context.sleep(3600))
    ids = [lifecycle.trigger("race-sleep").run_id for _ in range(40)]
    finish()
    for run_id in ids:
        due_now(run_id)
    at_once(finish, finish, finish)
    finish()
    assert Run.objects.filter(status="completed").count() == 40
    assert JournalEntry.objects.filter(kind="resolved").count() == 40
    assert JournalEntry.objects.filter(kind="invocation").count() == 80


def test_a_trigger_inside_a_transaction(workflow: Any) -> None:
    """A run triggered inside the caller's transaction is there when that commits, and never was when it does not."""
    from django.db import transaction

    workflow("race-atomic")(lambda context, given: 1)
    with transaction.atomic():
        lifecycle.trigger("race-atomic", run_id="gone")
        transaction.set_rollback(True)
    assert not Run.objects.exists()
    with transaction.atomic():
        lifecycle.trigger("race-atomic", run_id="kept")
        assert at_once(Run.objects.count) == [0]
    finish()
    assert records.load("kept")["status"] == "completed"


def test_cancel_hangs_up_on_the_tenant(tenant: Tenant) -> None:
    """A cancel while the tenant is at work ends the exchange at once; nothing is asked again, and the run stays so."""
    asked, over = threading.Event(), threading.Event()

    def handler(request: dict[str, Any]) -> Any:
        asked.set()
        over.wait(10)
        return completed(request)

    tenant.handler = handler

    def drive() -> float:
        held = lifecycle.trigger("slow", run_id="slow", claim=True).held
        assert held is not None
        began = time.monotonic()
        engine.drive(held)
        return time.monotonic() - began

    def cancel() -> None:
        assert asked.wait(5)
        lifecycle.cancel("slow", reason="enough")

    took, _ = at_once(drive, cancel)
    over.set()
    assert took < 5
    assert len(tenant.requests) == 1
    assert records.load("slow")["error"]["message"] == "enough"
