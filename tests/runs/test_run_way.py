"""A run's way through a real server: triggered, asleep, woken, finished by an event; killed in between."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import server as servers
from tests.server import Server, eventually

FLOWS = {"DJANGO_SETTINGS_MODULE": "tests.runs.settings", "ZELAVIS_RUNS_LEASE_SECONDS": "2"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of this file's servers."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Server]:
    """A server for tests that do not kill it."""
    with servers.running(data) as running:
        yield running


def record(server: Server, run_id: str) -> dict[str, Any]:
    """The run's record."""
    return server.api.get(f"/api/runs/{run_id}").json()  # type: ignore[no-any-return]


def effects(log: Path, run_id: str) -> Counter[str]:
    """What really ran for a run, with how often."""
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines()) if log.exists() else ()
    return Counter(line["what"] for line in lines if line["run"] == run_id)


def test_greet_sleeps_wakes_on_time_and_ends_with_its_event(server: Server) -> None:
    """The demo workflow comes back waiting, is woken by beat within 0.3 s of its time, and an event finishes it."""
    answer = server.api.post("/api/runs", json={"workflowId": "greet", "input": {"name": "Ada"}})
    assert answer.status_code == 200
    run = answer.json()
    assert run["status"] == "waiting"
    assert [wait["kind"] for wait in run["pendingWaitpoints"]] == ["DATETIME"]
    wake_at = run["pendingWaitpoints"][0]["meta"]["wakeAt"]

    def awake() -> dict[str, Any] | None:
        found = record(server, run["id"])
        return found if found["journal"]["waitpointsResolved"] else None

    found = eventually(awake, seconds=6, what="waking")
    assert 0 <= found["journal"]["waitpointsResolved"]["sleep:1"]["resolvedAt"] - wake_at < 300
    eventually(
        lambda: [wait["kind"] for wait in record(server, run["id"])["pendingWaitpoints"]] == ["EVENT"],
        seconds=3,
        what="waiting for the event",
    )
    finished = server.api.post(f"/api/runs/{run['id']}/events", json={"eventType": "greet", "payload": {"from": "Bob"}})
    assert finished.json()["status"] == "completed"
    assert finished.json()["output"] == {"text": "Hello, Ada! Greetings from Bob."}


def test_respond_async_leaves_the_run_to_a_worker(server: Server) -> None:
    """With Prefer: respond-async the answer is 202 at once and the worker drives the run within half a second."""
    began = time.monotonic()
    answer = server.api.post("/api/runs", json={"workflowId": "greet"}, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.json()["invocationCount"] == 0
    eventually(lambda: record(server, answer.json()["id"])["status"] == "waiting", seconds=2, what="driving")
    assert time.monotonic() - began < 0.6


@pytest.mark.slow
def test_killed_while_the_run_sleeps_it_finishes_after_a_restart(tmp_path: Path) -> None:
    """kill -9 of everything while a run sleeps: after a restart it wakes and finishes, and no step ran twice."""
    log = tmp_path / "log"
    variables = {**FLOWS, "FLOWS_LOG": str(log)}
    with servers.running(tmp_path / "data", "--no-demo", **variables) as first:
        run = first.api.post("/api/runs", json={"workflowId": "flow-sleeps", "input": {"seconds": 1.5}}).json()
        assert run["status"] == "waiting"
        first.kill()
    time.sleep(2)
    with servers.running(tmp_path / "data", "--no-demo", **variables) as second:
        found = eventually(
            lambda: (found := record(second, run["id"]))["status"] == "completed" and found, seconds=6, what="finishing"
        )
    assert list(found["journal"]["stepResults"]) == ["before", "after"]
    assert effects(log, run["id"]) == {"before": 1, "after": 1}


@pytest.mark.slow
@pytest.mark.parametrize("where", ["web", "worker"])
def test_killed_while_a_step_runs_no_journaled_step_runs_again(tmp_path: Path, where: str) -> None:
    """kill -9 while a step runs, in the request or in the worker: the steps before it never run again."""
    log = tmp_path / "log"
    variables = {**FLOWS, "FLOWS_LOG": str(log)}
    with servers.running(tmp_path / "data", "--no-demo", **variables) as first:
        headers = {"Prefer": "respond-async"} if where == "worker" else {}
        body = {"workflowId": "flow-slow", "runId": "victim", "input": {"seconds": 1.5}}
        if where == "worker":
            first.api.post("/api/runs", json=body, headers=headers)
        else:
            import threading

            def post() -> None:
                import httpx

                with pytest.raises(httpx.TransportError):
                    first.api.post("/api/runs", json=body)

            thread = threading.Thread(target=post)
            thread.start()
        eventually(lambda: effects(log, "victim")["second-begins"], seconds=5, what="the second step")
        first.kill()
        if where == "web":
            thread.join(10)
    with servers.running(tmp_path / "data", "--no-demo", **variables) as second:
        found = eventually(
            lambda: (found := record(second, "victim"))["status"] == "completed" and found, seconds=12, what="finishing"
        )
    assert list(found["journal"]["stepResults"]) == ["first", "second", "third"]
    assert effects(log, "victim") == {"first": 1, "second-begins": 2, "second": 1, "third": 1}


@pytest.mark.slow
def test_a_slow_step_is_answered_in_time_and_finished_by_the_same_driver(tmp_path: Path) -> None:
    """A step longer than the request may take: the answer is running after that time, and the step runs once."""
    log = tmp_path / "log"
    variables = {**FLOWS, "FLOWS_LOG": str(log), "ZELAVIS_RUNS_REQUEST_SECONDS": "0.5"}
    with servers.running(tmp_path / "data", "--no-demo", **variables) as running:
        began = time.monotonic()
        run = running.api.post("/api/runs", json={"workflowId": "flow-slow", "input": {"seconds": 4}}).json()
        assert run["status"] == "running"
        assert time.monotonic() - began < 1.5
        eventually(lambda: record(running, run["id"])["status"] == "completed", seconds=8, what="finishing")
        running.process.send_signal(signal.SIGINT)
    # The lease is two seconds and the step takes four: the driver kept it alive.
    assert effects(log, run["id"]) == {"first": 1, "second-begins": 1, "second": 1, "third": 1}
