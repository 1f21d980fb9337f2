"""The record that a driver has in memory is the one in the database, or it is not used."""

from __future__ import annotations

from typing import Any

import pytest

from runs import control, engine, leases, lifecycle, records
from runs.models import JournalEntry, Run, RunData
from runs.registry import Workflow
from tests.runs.conftest import run, send

pytestmark = pytest.mark.django_db


def _driven(name: str, **arguments: Any) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    held = lifecycle.trigger(name, claim=True, **arguments).held
    assert held is not None
    engine.drive(held)
    return records.of(held), records.load(held.id)


@pytest.mark.parametrize("durability", ["step", "invocation"])
def test_a_completed_run_needs_no_reading(workflow: Any, durability: str) -> None:
    """Member by member, in the same order, the record from memory is the record from the database."""

    @workflow("bench-shown", durability=durability)
    def shown(context: Any, given: Any) -> Any:
        context.metadata.set("b", 1)
        context.metadata.set("a", {"z": 1, "y": 2})
        return {"got": context.step("one", lambda: (1, 2)), "also": context.step("two", lambda: "ü")}

    mine, stored = _driven("bench-shown", input={"z": 1, "a": None}, tags=["t"], timeout_ms=9_000)
    assert mine is not None
    assert mine == stored
    assert repr(mine) == repr(stored)


def test_a_failed_and_undone_run_needs_no_reading(workflow: Any) -> None:
    """Error and compensations stand in it."""

    @workflow("bench-undone")
    def undone(context: Any, given: Any) -> Any:
        context.step("one", lambda: [1], compensate=lambda output: None)
        raise ValueError("no")

    mine, stored = _driven("bench-undone")
    assert mine is not None
    assert stored["status"] == "compensated"
    assert repr(mine) == repr(stored)


def test_pieces_of_a_stream_are_read(workflow: Any) -> None:
    """What is not kept in memory makes the driver's copy no record."""
    workflow("bench-streaming")(lambda context, given: context.stream("s", [1, 2]))
    mine, stored = _driven("bench-streaming")
    assert mine is None
    assert [chunk["chunk"] for chunk in stored["streams"]["s"]] == [1, 2, None]


def test_a_parked_run_is_read(workflow: Any) -> None:
    """Only an ended run is answered from memory."""
    workflow("bench-parked")(lambda context, given: context.wait_for_signal("go"))
    mine, stored = _driven("bench-parked")
    assert mine is None
    assert stored["status"] == "waiting"
    assert send(stored["id"], "SIGNAL", "go", payload=1)["output"] == 1


def test_what_others_wrote_meanwhile_is_read(workflow: Any) -> None:
    """A pause, or an entry by somebody else, while the body was at work is not missing from the answer."""
    found: dict[str, Workflow] = {}

    def body(context: Any, given: Any) -> Any:
        if given == "pause":
            context.step("one", lambda: control.pause(context.run_id))
        else:
            Run.objects.filter(pk=context.run_id).update(next_seq=2)
            JournalEntry.objects.create(run_id=context.run_id, seq=1, kind="note", key="n", data="{}", fence=1, at=1)
        return given

    found["it"] = workflow("bench-met")(body)
    for kind in ("pause", "note"):
        mine, stored = _driven("bench-met", input=kind)
        assert mine is None, kind
        assert stored["status"] == "completed"
    assert run("bench-met", input="pause")["output"] == "pause"


def test_a_run_without_its_documents_is_claimed_and_said_to_be_broken(workflow: Any) -> None:
    """A row that is missing is no reason to leave the claim: its driver says what is wrong."""
    workflow("bench-parked")(lambda context, given: context.step("one", lambda: 1) and context.sleep(60))
    run_id = _driven("bench-parked")[1]["id"]
    RunData.objects.filter(pk=run_id).delete()
    Run.objects.filter(pk=run_id).update(wake_at=1, status="running")
    held = leases.claim(run_id)
    assert held is not None
    assert "documents are missing" in held.unreadable
