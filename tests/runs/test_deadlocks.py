"""Verbs that lock several runs, at once, on PostgreSQL: none of them waits for another in a circle."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections

from runs import alarms, engine, inbox, lifecycle
from runs.manifests import ingesting, registering
from runs.models import Run, Slot
from zelavis.errors import ZelavisError

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("threads_database")]
#: On SQLite writers stand in one line anyway.
SECONDS = {"postgresql": 4.0, "sqlite": 0.5}


def together(*deeds: Callable[[], Any]) -> list[DatabaseError]:
    """Do each again and again for a while, in a thread of its own; what the database complained of."""
    ends = time.monotonic() + SECONDS[connection.vendor]
    complaints: list[DatabaseError] = []

    def do(deed: Callable[[], Any]) -> None:
        try:
            while time.monotonic() < ends:
                try:
                    deed()
                except ZelavisError:
                    continue
                except DatabaseError as error:
                    complaints.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=do, args=(deed,)) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return complaints


@pytest.mark.parametrize("strategy", ["cancel-in-progress", "queue"])
def test_a_place_changes_hands_while_its_holder_ends(workflow: Any, strategy: str) -> None:
    """Triggers that cancel the holder, the holder's own end and cancels by hand do not lock each other out."""
    workflow("lock-place")(lambda context, given: context.wait_for_event("go"))
    numbers = itertools.count()

    def trigger() -> None:
        rule = {"key": "k", "limit": 2, "strategy": strategy}
        held = lifecycle.trigger("lock-place", run_id=f"l{next(numbers)}", concurrency=rule, claim=True).held
        if held is not None:
            engine.drive(held)

    def some(status: str) -> str | None:
        return Run.objects.filter(status=status).order_by("?").values_list("pk", flat=True).first()

    def end() -> None:
        if run_id := some("waiting"):
            receipt = inbox.inject(run_id, "EVENT", "go", claim=True)
            if receipt.held is not None:
                engine.drive(receipt.held)

    def cancel() -> None:
        if run_id := some("waiting"):
            lifecycle.cancel(run_id)

    assert together(trigger, trigger, end, end, cancel, alarms.work) == []
    assert Slot.objects.count() <= 2
    # Whoever still waits for a place gets one when the holders end.
    for _ in range(Run.objects.filter(status__in=["running", "waiting"]).count() * 2):
        while alarms.work():
            pass
        end()
    while alarms.work():
        pass
    assert not Run.objects.filter(status__in=["running", "waiting"]).exists()
    assert not Slot.objects.exists()


def test_families_end_and_are_cancelled(workflow: Any) -> None:
    """Parents are cancelled and children end, are cancelled and are signalled at the same moments."""
    workflow("lock-kid")(lambda context, given: context.wait_for_event("grow", timeout=0.05))

    @workflow("lock-parent")
    def body(context: Any, given: Any) -> Any:
        return context.wait_all(*[context.child("lock-kid") for _ in range(3)])

    def trigger() -> None:
        held = lifecycle.trigger("lock-parent", claim=True).held
        assert held is not None
        engine.drive(held)

    def some(workflow_id: str) -> str | None:
        found = Run.objects.filter(status__in=["running", "waiting"], workflow_id=workflow_id)
        return found.order_by("?").values_list("pk", flat=True).first()

    def cancel(workflow_id: str) -> None:
        if run_id := some(workflow_id):
            lifecycle.cancel(run_id)

    def grow() -> None:
        if run_id := some("lock-kid"):
            inbox.inject(run_id, "EVENT", "grow", buffer=True)

    deeds = [trigger, lambda: cancel("lock-parent"), lambda: cancel("lock-kid"), grow, alarms.work, alarms.work]
    assert together(*deeds) == []
    deadline = time.monotonic() + 30
    while Run.objects.filter(status__in=["running", "waiting"]).exists() and time.monotonic() < deadline:
        if not alarms.work():
            time.sleep(0.02)
    assert not Run.objects.filter(status__in=["running", "waiting"]).exists()


def test_events_that_start_runs_under_several_keys(workflow: Any) -> None:
    """Two events whose filters start the same two workflows in opposite orders, each under its key."""
    for name in ("lock-a", "lock-b"):
        workflow(name)(lambda context, given: None)
    rule = {"key": "k", "limit": 1, "strategy": "cancel-in-progress"}
    document = {
        "versionId": "v",
        "workflows": [{"id": name, "concurrency": rule} for name in ("lock-a", "lock-b")],
        "eventFilters": [
            {"id": f"{event}{n}", "eventType": event, "targetWorkflowId": f"lock-{letter}"}
            for event, order in (("one", "ab"), ("two", "ba"))
            for n, letter in enumerate(order)
        ],
    }
    registering.register(document, environment="production", actor="t")
    numbers = itertools.count()

    def send(name: str) -> None:
        came = ingesting.ingest({"name": name, "emittedAt": str(next(numbers)), "data": 1}, environment="production")
        assert [match["status"] for match in came.matches] == ["queued", "queued"]

    assert together(lambda: send("one"), lambda: send("two"), lambda: send("one"), lambda: send("two")) == []
