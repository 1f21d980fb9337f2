"""What PostgreSQL takes in one statement, with its own transaction, and when it must not."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from runs import clock, commits, creation, engine, inbox, leases, lifecycle, records, states
from runs.errors import LostClaim, RunConflict
from runs.held import Held
from runs.models import InboxItem, JournalEntry, Run
from runs.protocol import StepResponse
from tests.runs.conftest import run

pytestmark = pytest.mark.django_db(transaction=True)
DONE = StepResponse(status=states.COMPLETED, steps={}, output="out")


def _held(workflow: Any) -> Held:
    workflow("bench-nothing")(lambda context, given: None)
    held = lifecycle.trigger("bench-nothing", claim=True).held
    assert held is not None
    return held


@pytest.mark.parametrize(("durability", "on_postgresql"), [("step", 7), ("invocation", 2)])
def test_a_run_of_five_steps_needs_no_statement_beyond_its_commits(
    workflow: Any, durability: str, on_postgresql: int
) -> None:
    """On PostgreSQL every commit of a run that stands alone is one statement; on SQLite they are not counted here."""
    workflow("bench-five", durability=durability)(
        lambda context, given: [context.step(f"step-{n}", lambda n=n: n) for n in range(5)]
    )
    clock.now_ms()
    seen: list[str] = []

    def note(execute: Any, sql: str, *given: Any) -> Any:
        seen.append(sql)
        return execute(sql, *given)

    with connection.execute_wrapper(note):
        held = lifecycle.trigger("bench-five", claim=True).held
        assert held is not None
        engine.drive(held)
    record = records.load(held.id)
    assert (record["status"], record["output"]) == ("completed", [0, 1, 2, 3, 4])
    if connection.vendor == "postgresql":
        assert len(seen) == on_postgresql


def test_an_end_takes_output_metadata_and_journal_with_it(workflow: Any) -> None:
    """The one statement writes all that the answer brought."""

    @workflow("bench-noted", durability="invocation")
    def noted(context: Any, given: Any) -> Any:
        context.metadata.set("colour", "grün")
        return [context.step("one", lambda: 1), context.step("two", lambda: {"b": 1, "a": 2})]

    record = run("bench-noted", tags=["x"])
    assert record["output"] == [1, {"b": 1, "a": 2}]
    assert record["metadataAppliedCount"] == 1
    assert record["journal"]["metadataState"] == {"colour": "grün"}
    assert list(record["journal"]["stepResults"]) == ["one", "two"]
    entries = JournalEntry.objects.filter(run_id=record["id"]).order_by("seq").values_list("seq", "kind", "key")
    assert list(entries) == [(1, "step", "one"), (2, "step", "two"), (3, "invocation", "1")]
    assert Run.objects.get(pk=record["id"]).next_seq == 4


def test_what_was_buffered_expires_with_the_run(workflow: Any) -> None:
    """An injection that was kept while the last answer was on its way is settled with the end."""
    held = _held(workflow)
    receipt = inbox.inject(held.id, states.SIGNAL, "later", buffer=True)
    assert receipt.disposition == states.BUFFERED
    commits.finish(held, states.COMPLETED, output="out", response=DONE)
    assert InboxItem.objects.get(pk=receipt.id).disposition == states.EXPIRED
    assert records.load(held.id)["output"] == "out"
    assert Run.objects.get(pk=held.id).buffered == 0


def test_an_end_without_the_fence_writes_nothing(workflow: Any) -> None:
    """A driver that lost its run ends nothing, in one statement as in many."""
    held = _held(workflow)
    Run.objects.filter(pk=held.id).update(fence=9)
    with pytest.raises(LostClaim):
        commits.finish(held, states.COMPLETED, output="out", response=DONE)
    record = records.load(held.id)
    assert record["status"] == "running"
    assert "output" not in record
    assert not JournalEntry.objects.filter(run_id=held.id).exists()
    assert (held.id, held.fence) not in leases.held_here()


def test_a_taken_id_leaves_the_connection_usable(workflow: Any) -> None:
    """A run id that exists with another body is a conflict, and what follows is not harmed by it."""
    workflow("bench-nothing")(lambda context, given: None)
    assert run("bench-nothing", run_id="mine", input=1)["status"] == "completed"
    with pytest.raises(RunConflict):
        lifecycle.trigger("bench-nothing", run_id="mine", input=2)
    assert not lifecycle.trigger("bench-nothing", run_id="mine", input=1).created
    assert Run.objects.count() == 1


def test_what_needs_more_rows_is_not_one_statement() -> None:
    """A run with tags, or with entries that it inherits, is inserted inside a transaction."""
    plain: dict[str, Any] = {
        "id": "r",
        "tenant": "t",
        "workflow_id": "w",
        "workflow_version": "v1",
        "environment": "development",
        "tenant_meta": {},
        "triggered_by": {},
        "started_at": 1,
        "created_at": 1,
    }
    tagged = creation.NewRun(**plain, tags=["a", "a", 1])
    assert tagged.tag_values() == ["a"]
    assert not tagged.is_one_statement()
    assert not creation.NewRun(**plain, tags=[], journal=[("note", "n", {})]).is_one_statement()
    assert creation.NewRun(**plain, tags=[]).is_one_statement() == (connection.vendor == "postgresql")
