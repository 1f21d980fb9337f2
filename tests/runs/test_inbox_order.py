"""What is sent to a run before it waits is matched in the order in which it came."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runs import engine, inbox, records, states
from tests.runs.conftest import run
from zelavis import identifiers

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("clocks", [[1_000] * 12, list(range(1_012, 1_000, -1))])
def test_what_came_first_is_matched_first(workflow: Any, clocks: list[int]) -> None:
    """Twelve events of one millisecond, or of hosts whose clocks lag, come out in the order of their receipts."""

    @workflow("takes-twelve")
    def takes(context: Any, given: Any) -> list[Any]:
        context.wait_for_signal("begin")
        return [context.wait_for_event("e") for _ in range(12)]

    run_id = run("takes-twelve")["id"]
    for number, moment in enumerate(clocks):
        receipt = inbox.inject(run_id, states.EVENT, "e", payload=number, buffer=True, now=moment)
        assert receipt.disposition == states.BUFFERED
    receipt = inbox.inject(run_id, states.SIGNAL, "begin", claim=True)
    assert receipt.held is not None
    engine.drive(receipt.held)
    assert records.load(run_id)["output"] == list(range(12))
    assert [row["disposition"] for row in inbox.receipts(run_id)] == [states.MATCHED] * 13


def test_the_next_identifier_sorts_behind() -> None:
    """The identifier after another one is greater and of the same form, also where the random part is full."""
    for one in (identifiers.make("rcp"), "rcp_" + "0" * 10 + "z" * 16):
        following = identifiers.after(one)
        assert following > one
        assert len(following) == len(one)


@pytest.mark.parametrize("event", ["e", "another"])
def test_an_injection_looks_once(workflow: Any, event: str) -> None:
    """Which wait it fits and which receipts came before is one question, asked once the run is locked."""
    workflow("takes-one")(lambda context, given: context.wait_for_event("e"))
    run_id = run("takes-one")["id"]
    with CaptureQueriesContext(connection) as seen:
        inbox.inject(run_id, states.EVENT, event, buffer=True)
    lock, look = [query["sql"] for query in seen if query["sql"].startswith("SELECT")]
    assert "FROM runs_run WHERE" in lock
    assert "FROM runs_waitpoint" in look
    assert "MAX(id) FROM runs_inbox" in look
