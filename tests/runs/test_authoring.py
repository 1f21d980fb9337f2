"""Workflows in Python: replayed, journaled, undone, and told when they take another way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from runs import engine, inbox, leases, lifecycle, records
from runs.authoring import ChildFailed, Fatal, Retries, Retryable, StepFailed, WaitTimeout
from runs.models import Run
from tests.runs.conftest import due_now, run, send, wake

pytestmark = pytest.mark.django_db


def test_a_step_runs_once_over_all_replays(workflow: Any) -> None:
    """However often the body starts from the top, each step runs once and gives its first result."""
    ran: list[str] = []

    @workflow("test-replay")
    def body(context: Any, given: Any) -> Any:
        results = []
        for name in ("a", "b", "c"):
            results.append(context.step(name, lambda name=name: ran.append(name) or name.upper()))
            context.wait_for_signal("next")
        return results

    run_id = run("test-replay")["id"]
    for _ in range(3):
        record = send(run_id, "SIGNAL", "next")
    assert record["output"] == ["A", "B", "C"]
    assert ran == ["a", "b", "c"]


def test_clock_random_and_uuid_replay(workflow: Any) -> None:
    """Time, random numbers and UUIDs are the same on every pass, and differ between runs."""
    seen: list[Any] = []

    @workflow("test-same")
    def body(context: Any, given: Any) -> Any:
        seen.append((context.now(), context.random.random(), context.uuid()))
        context.wait_for_signal("next")

    for _ in range(2):
        send(run("test-same")["id"], "SIGNAL", "next")
    assert seen[0] == seen[1]
    assert seen[2] == seen[3]
    assert seen[0] != seen[2]


def test_retries_wait_by_alarm(workflow: Any) -> None:
    """Between two tries the run sleeps; the tries are counted over restarts; Retry-After and Fatal are obeyed."""
    tries: list[int] = []

    @workflow("test-retry")
    def body(context: Any, given: Any) -> Any:
        def work() -> int:
            tries.append(1)
            if given == "fatal":
                raise Fatal("never")
            if len(tries) == 1:
                raise Retryable("busy", retry_after=30)
            if len(tries) == 2:
                raise RuntimeError("again")
            return len(tries)

        return context.step("work", work, retries=Retries(attempts=3, first=10))

    record = run("test-retry")
    (wait,) = record["pendingWaitpoints"]
    assert (wait["clientWaitpointId"], wait["meta"]["durationMs"]) == ("step-retry:work:1", 30_000)
    due_now(record["id"])
    wake()
    (wait,) = records.load(record["id"])["pendingWaitpoints"]
    assert (wait["clientWaitpointId"], wait["meta"]["durationMs"]) == ("step-retry:work:2", 20_000)
    due_now(record["id"])
    wake()
    record = records.load(record["id"])
    assert (record["output"], record["journal"]["stepResults"]["work"]["attempt"]) == (3, 3)
    tries.clear()
    record = run("test-retry", input="fatal")
    assert (record["status"], record["error"]["code"], len(tries)) == ("failed", "FATAL", 1)


def test_a_caught_failure_is_caught_again(workflow: Any) -> None:
    """A step's failure is the same exception on the first pass and on a replay."""

    @workflow("test-catch")
    def body(context: Any, given: Any) -> Any:
        try:
            context.step("bad", lambda: 1 / 0)
        except StepFailed as error:
            context.wait_for_signal("next")
            return [error.step, error.code, str(error)]

    record = send(run("test-catch")["id"], "SIGNAL", "next")
    assert record["output"] == ["bad", "UNKNOWN", "division by zero"]


def test_compensation_undoes_in_reverse_and_once(workflow: Any) -> None:
    """When the body fails, what was done is undone, last first; a failing undo does not stop the others."""
    undone: list[Any] = []

    @workflow("test-saga")
    def body(context: Any, given: Any) -> Any:
        context.step("reserve", lambda: "r1", compensate=undone.append)
        context.step("charge", lambda: "c1", compensate=lambda out: undone.append(out) or 1 / given)
        if given == 2:
            context.compensate()
        context.step("ship", lambda: 1 / 0)

    record = run("test-saga", input=1)
    assert (record["status"], undone) == ("compensated", ["c1", "r1"])
    assert record["error"]["message"] == "division by zero"
    assert list(record["journal"]["compensationsRun"]) == ["charge", "reserve"]
    undone.clear()
    record = run("test-saga", input=0)
    assert (record["status"], undone) == ("compensation_failed", ["c1", "r1"])
    record = run("test-saga", input=2)
    assert (record["status"], "error" in record) == ("compensated", False)


@pytest.mark.parametrize("durability", ["step", "invocation"])
def test_a_driver_that_dies_after_a_step(workflow: Any, durability: str) -> None:
    """With durability `step` a finished step is kept when its driver dies; with `invocation` it runs again."""
    ran: list[str] = []
    alive = [False]

    @workflow("test-death", durability=durability)
    def body(context: Any, given: Any) -> Any:
        context.step("a", lambda: ran.append("a"))
        if not alive[0]:
            raise SystemExit
        context.step("b", lambda: ran.append("b"))

    held = lifecycle.trigger("test-death", claim=True).held
    assert held is not None
    with pytest.raises(SystemExit):
        engine.drive(held)
    leases.let_go(held)
    alive[0] = True
    due_now(held.id)
    wake()
    assert records.load(held.id)["status"] == "completed"
    assert ran == (["a", "b"] if durability == "step" else ["a", "a", "b"])


@pytest.mark.parametrize("change", ["renamed", "swapped", "removed"])
def test_another_way_than_the_journal_is_told(workflow: Any, change: str) -> None:
    """A body that asks for other steps than its journal has fails at once and names the step; it does not loop."""
    ways = {"first": ["a", "b"], "renamed": ["a", "x"], "swapped": ["b", "a"], "removed": ["a"]}
    way = ["first"]

    @workflow("test-diverge")
    def body(context: Any, given: Any) -> Any:
        for name in ways[way[0]]:
            context.step(name, lambda: None)
        context.wait_for_signal("next")
        return "done"

    run_id = run("test-diverge")["id"]
    way[0] = change
    record = send(run_id, "SIGNAL", "next")
    assert (record["status"], record["error"]["code"]) == ("failed", "non_deterministic")
    assert "'b'" in record["error"]["message"] or "'a'" in record["error"]["message"]


def test_wait_all_and_any(workflow: Any) -> None:
    """wait_all needs every wait, in any order; wait_any takes the first and lets go of the others."""

    @workflow("test-waits")
    def body(context: Any, given: Any) -> Any:
        both = context.wait_all(context.event("a"), context.signal("b"))
        first = context.wait_any(context.event("c"), context.timer(timedelta(hours=1)))
        return [both, first]

    run_id = run("test-waits")["id"]
    record = send(run_id, "SIGNAL", "b", payload=2)
    assert [wait["kind"] for wait in record["pendingWaitpoints"]] == ["EVENT"]
    record = send(run_id, "EVENT", "a", payload=1)
    assert [wait["kind"] for wait in record["pendingWaitpoints"]] == ["EVENT", "DATETIME"]
    record = send(run_id, "EVENT", "c", payload=3)
    assert record["output"] == [[1, 2], [0, 3]]
    assert Run.objects.get(pk=run_id).wake_at is None


def test_a_wait_that_timed_out(workflow: Any) -> None:
    """After its timeout a wait gives None, or raises when asked to."""

    @workflow("test-timeout")
    def body(context: Any, given: Any) -> Any:
        first = context.wait_for_event("never", timeout=1)
        try:
            context.wait_for_signal("never", timeout=1, on_timeout="raise")
        except WaitTimeout:
            return [first, "raised"]

    run_id = run("test-timeout")["id"]
    for _ in range(2):
        due_now(run_id)
        wake()
    assert records.load(run_id)["output"] == [None, "raised"]


def test_children_give_their_output_or_their_failure(workflow: Any) -> None:
    """A child's output is the value of invoke, its failure an exception; a detached child is not waited for."""
    workflow("test-kid")(lambda context, given: 10 // given)

    @workflow("test-parent")
    def body(context: Any, given: Any) -> Any:
        good = context.invoke("test-kid", 5, tags=["kid"])
        alone = context.invoke("test-kid", 5, detach=True)
        try:
            context.invoke("test-kid", 0)
        except ChildFailed as error:
            return [good, alone, str(error)]

    record = run("test-parent")
    assert record["output"] == [2, None, "integer division or modulo by zero"]
    wake()
    assert Run.objects.filter(workflow_id="test-kid", status="completed").count() == 2


def test_an_unknown_child_fails_its_parent(workflow: Any) -> None:
    """A child that nobody could serve fails the parent with the seed's code."""
    workflow("test-lost")(lambda context, given: context.invoke("nobody-knows"))
    assert run("test-lost")["error"]["code"] == "child_run_unresolvable"


def test_streams_and_metadata_are_told_once(workflow: Any) -> None:
    """Chunks and metadata of a replayed pass are not told again."""

    @workflow("test-tell")
    def body(context: Any, given: Any) -> Any:
        context.metadata.set("phase", "one")
        context.metadata.increment("count")
        context.stream("log", iter(["a", "b"]), encoding="text")
        context.wait_for_signal("next")
        context.metadata.append("list", 1)
        context.metadata.remove("phase")

    record = send(run("test-tell")["id"], "SIGNAL", "next")
    assert record["journal"]["metadataState"] == {"count": 1, "list": [1]}
    assert [chunk["chunk"] for chunk in record["streams"]["log"]] == ["a", "b", None]
    assert record["journal"]["streamsCompleted"] == {"log": {"chunkCount": 3}}
    assert record["metadataAppliedCount"] == 4


@pytest.mark.parametrize("output", [float("nan"), "\ud800", object(), {1, 2}])
def test_what_cannot_be_kept_fails_its_step(workflow: Any, output: Any) -> None:
    """A result that is not JSON fails the step where it arose, not the commit."""
    workflow("test-odd")(lambda context, given: context.step("odd", lambda: output))
    record = run("test-odd")
    assert record["status"] == "failed"
    assert record["journal"]["stepResults"]["odd"]["status"] == "err"


def test_nul_and_deep_text_survive(workflow: Any) -> None:
    """A NUL or an odd name inside a JSON text is kept as it is."""
    workflow("test-nul")(lambda context, given: context.step("a", lambda: {"k\x00": "v\x00"}))
    assert run("test-nul")["output"] == {"k\x00": "v\x00"}


@pytest.mark.parametrize("durability", ["step", "invocation"])
def test_what_a_body_does_to_its_values_does_not_reach_the_journal(workflow: Any, durability: str) -> None:
    """Input, results and payloads that a body changes in place are the same again on every pass, and in the record."""
    kept: list[int] = [1]

    @workflow("bench-changer", durability=durability)
    def changer(context: Any, given: Any) -> Any:
        given["list"].append("input")
        mine = context.step("mine", lambda: kept)
        kept.append(9)
        mine.append("result")
        sent = context.wait_for_signal("go")
        sent.append("payload")
        context.wait_for_signal("again")
        return [given, mine, sent]

    run_id = run("bench-changer", input={"list": []})["id"]
    inbox.inject(run_id, "SIGNAL", "again", buffer=True)
    record = send(run_id, "SIGNAL", "go", payload=[])
    assert record["status"] == "completed"
    assert record["output"] == [{"list": ["input"]}, [1, "result"], ["payload"]]
    assert record["input"] == {"list": []}
    assert record["journal"]["stepResults"]["mine"]["output"] == [1]
    assert record["journal"]["waitpointsResolved"]
    assert [entry.get("payload") for entry in record["journal"]["waitpointsResolved"].values()] == [[], None]
