"""A run's way: triggered, asleep, woken, asked, finished; and through the death of the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import Server, eventually, running

WITH_SLOW = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.settings"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("runs"), "--no-demo") as started:
        yield started


def record(server: Server, run: str) -> dict[str, Any]:
    answer = server.api.get(f"/api/runs/{run}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_greet_sleeps_waits_and_finishes(server: Server) -> None:
    """The example run parks at once, is woken on time, waits for its event, and ends with its output and a timeline."""
    answer = server.api.post("/api/runs", json={"workflowId": "greet", "input": {"name": "Ada"}})
    assert answer.status_code == 200, answer.text
    started = answer.json()
    assert started["status"] == "waiting"
    assert started["pendingWaitpoints"][0]["kind"] == "DATETIME"
    wake_at = started["pendingWaitpoints"][0]["meta"]["wakeAt"]

    def waits_for_event() -> dict[str, Any] | None:
        now = record(server, started["id"])
        return now if now["pendingWaitpoints"] and now["pendingWaitpoints"][0]["kind"] == "EVENT" else None

    woken = eventually(waits_for_event, seconds=6, what="the alarm")
    assert 0 <= woken["journal"]["waitpointsResolved"]["sleep:1"]["resolvedAt"] - wake_at < 1000
    done = server.api.post(f"/api/runs/{started['id']}/events", json={"eventType": "greet", "payload": {"from": "Bob"}})
    assert done.status_code == 200
    assert done.json()["status"] == "completed"
    assert done.json()["output"] == {"text": "Hello, Ada! Greetings from Bob."}
    assert record(server, started["id"]) == done.json()
    browser = server.browser()
    pages = [browser.get("/admin/runs/run/"), browser.get(f"/admin/runs/run/{started['id']}/change/")]
    assert all(started["id"] in page.text for page in pages)
    assert "prepare" in pages[1].text
    assert "sleep:1" in pages[1].text


def test_a_run_asleep_survives_the_death_of_the_server(tmp_path: Path) -> None:
    """kill -9 while a run sleeps: after the restart it is woken and finishes, and no step ran twice."""
    steps = tmp_path / "steps"
    variables = {**WITH_SLOW, "STEPS_FILE": str(steps)}
    with running(tmp_path, "--no-demo", **variables) as server:
        run = server.api.post("/api/runs", json={"workflowId": "sleeper"}).json()
        assert run["status"] == "waiting"
        server.kill()
    time.sleep(3)
    with running(tmp_path, "--no-demo", **variables) as server:
        eventually(lambda: record(server, run["id"])["status"] == "completed", seconds=10, what="the wake-up")
    assert steps.read_text().split("\n") == ["before begins", "before ends", "after begins", "after ends", ""]


def test_a_run_at_work_survives_the_death_of_the_server(tmp_path: Path) -> None:
    """kill -9 while a step runs: after the restart the run finishes; journaled steps are not run again, that one is."""
    steps = tmp_path / "steps"
    variables = {**WITH_SLOW, "STEPS_FILE": str(steps), "ZELAVIS_RUNS_LEASE_SECONDS": "3"}
    with running(tmp_path, "--no-demo", **variables) as server:
        answer = server.api.post("/api/runs", json={"workflowId": "four-steps"}, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        run = answer.json()
        eventually(lambda: "c begins" in (steps.read_text() if steps.exists() else ""), what="step c")
        server.kill()
    with running(tmp_path, "--no-demo", **variables) as server:
        done = eventually(
            lambda: (now := record(server, run["id"]))["status"] == "completed" and now, seconds=15, what="the recovery"
        )
    assert done["output"] == ["a", "b", "c", "d"]
    lines = steps.read_text().splitlines()
    assert [lines.count(f"{name} begins") for name in "abcd"] == [1, 1, 2, 1]
    assert [lines.count(f"{name} ends") for name in "abcd"] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/api/runs", {"workflowId": "nobody-knows"}, None, "workflow_not_found"),
        ("/api/runs", {}, 400, "invalid_body"),
        ("/api/runs", [], 400, "invalid_body"),
        ("/api/runs", {"workflowId": 7}, 400, "invalid_body"),
        ("/api/runs/run_unknown/events", {"eventType": "x"}, 404, "not_found"),
        ("/api/runs/run_unknown/cancel", {}, 404, "not_found"),
    ],
)
def test_what_cannot_be_done_is_said(server: Server, path: str, body: Any, status: int | None, code: str) -> None:
    """A request that makes no sense gets a 4xx with a code and a message, and starts nothing."""
    before = server.api.get("/api/runs").json()
    answer = server.api.post(path, json=body)
    assert 400 <= answer.status_code < 500
    assert status in (None, answer.status_code)
    assert answer.json()["error"] == code
    assert server.api.get("/api/runs").json() == before
