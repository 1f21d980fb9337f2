"""Streams of inline workflows: followed while they are made, replaced when they were cut off."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from runs import engine, leases, lifecycle, records
from runs.models import Run, StreamChunk
from tests import server as servers
from tests.runs.conftest import due_now, run, wake
from tests.runs.test_run_way import FLOWS


def test_pieces_are_followed_as_they_are_made(tmp_path: Path) -> None:
    """A reader of the SSE stream has each piece within half a second, while its workflow is still at work."""
    with servers.running(tmp_path / "data", "--no-demo", **FLOWS) as server:
        body = {"workflowId": "flow-streams", "input": {"pieces": 4, "seconds": 1.0}}
        made = server.api.post("/api/runs", json=body, headers={"Prefer": "respond-async"}).json()["id"]
        late: list[float] = []
        with server.api.stream("GET", f"/api/runs/{made}/stream", timeout=20) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: ") and '"chunk":{' in line:
                    piece = json.loads(line[6:])["chunk"]
                    if not piece["final"]:
                        # Two at once and then a pause: the second must not wait for the pause to end.
                        late.append(time.time() - piece["chunk"]["at"])
        found = server.api.get(f"/api/runs/{made}").json()
    assert len(late) == 8
    assert max(late) < 0.8, late
    assert [piece["seq"] for piece in found["streams"]["live"]] == list(range(1, 10))
    assert found["journal"]["streamsCompleted"] == {"live": {"chunkCount": 9}}


@pytest.mark.django_db
def test_a_stream_that_was_cut_off_is_sent_anew(workflow: Any) -> None:
    """The driver dies after two pieces; the next one sends all of them, and the record has each once."""
    alive = [False]

    @workflow("stream-cut")
    def body(context: Any, given: Any) -> Any:
        def pieces() -> Any:
            yield "a" if alive[0] else "old"
            time.sleep(0.06)
            yield "b"
            if not alive[0]:
                raise SystemExit
            yield "c"

        context.stream("s", pieces(), encoding="text")

    held = lifecycle.trigger("stream-cut", claim=True).held
    assert held is not None
    with pytest.raises(SystemExit):
        engine.drive(held)
    assert StreamChunk.objects.filter(run_id=held.id).count() == 2
    leases.let_go(held)
    alive[0] = True
    due_now(held.id)
    wake()
    record = records.load(held.id)
    assert [piece["chunk"] for piece in record["streams"]["s"]] == ["a", "b", "c", None]
    assert record["status"] == "completed"


@pytest.mark.django_db
def test_a_stream_that_fails_ends_with_a_final_piece(workflow: Any) -> None:
    """As with the seed's tenants: what came stays, a final piece ends it, and it is not journaled as complete."""

    @workflow("stream-fails")
    def body(context: Any, given: Any) -> Any:
        def pieces() -> Any:
            yield 1
            raise ValueError("no more")

        context.stream("s", pieces())

    record = run("stream-fails")
    assert (record["status"], record["error"]["message"]) == ("failed", "no more")
    assert [(piece["chunk"], piece["final"]) for piece in record["streams"]["s"]] == [(1, False), (None, True)]
    assert record["journal"]["streamsCompleted"] == {}


@pytest.mark.django_db
def test_a_piece_that_is_not_json_fails_the_run(workflow: Any) -> None:
    """It is the author's fault and the run's end, not an endless retry."""
    workflow("stream-odd")(lambda context, given: context.stream("s", [object()]))
    assert run("stream-odd")["status"] == "failed"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("pieces", [50, 2000])
def test_a_fast_stream_takes_few_commits(workflow: Any, pieces: int) -> None:
    """A producer that does not wait pays one commit for many pieces, and their order holds."""
    workflow("stream-fast")(lambda context, given: context.stream("s", range(pieces)))
    record = run("stream-fast")
    assert [piece["chunk"] for piece in record["streams"]["s"]] == [*range(pieces), None]
    assert not [thread for thread in threading.enumerate() if thread.name == "runs-stream"]


@pytest.mark.django_db
def test_a_stream_of_a_cancelled_run_stops(workflow: Any) -> None:
    """The body is stopped at its next piece, and nothing more is written."""
    sent: list[int] = []

    @workflow("stream-cancel")
    def body(context: Any, given: Any) -> Any:
        def pieces() -> Any:
            for number in range(100):
                time.sleep(0.06)
                sent.append(number)
                if number == 2:
                    lifecycle.cancel(context.run_id)
                yield number

        context.stream("s", pieces())

    record = run("stream-cancel")
    assert record["status"] == "cancelled"
    assert len(sent) < 5
    assert StreamChunk.objects.count() == 2
    assert Run.objects.get().lease_owner == ""
