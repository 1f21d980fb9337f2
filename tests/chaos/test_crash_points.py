"""Row 1: a driver dies at its n-th commit or send, for every n: each run finishes, no journaled step runs twice."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import server
from tests.chaos.report import Recovery

pytestmark = pytest.mark.chaos
LEASE_SECONDS = 0.2


def cases(root: Path, folder: Path, **variables: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Run every case in one process tree; ``(what happened, what is left)`` for each."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZELAVIS_", "DJANGO_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.crash_points", "1", "200", "1"],
        cwd=root,
        env={
            **kept,
            "CHAOS_LOG": str(folder / "effects.jsonl"),
            "CASE_FOLDER": str(folder),
            "ZELAVIS_DATA_DIR": str(folder / "data"),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return list(zip(lines[::2], lines[1::2], strict=True))


def check(found: list[tuple[dict[str, Any], dict[str, Any]]], recovery: Recovery, what: str) -> None:
    """The rules that every case keeps."""
    assert len(found) > 25, "the run has more commits than that"
    assert not found[-1][0]["died"], "every point up to the last was tried"
    steps = [f"step-{number}" for number in range(1, 8)]
    for case, left in found:
        where = f"case {case['at']}: {case} {left}"
        assert case["code"] == 0, where
        assert left["status"] == "completed", where
        assert left["output"] == [f"case-{case['at']}", "child"], where
        assert left["steps"] == steps, where
        assert not left["gaps"], where
        assert left["children"] == 1, where
        assert left["receipts"] == ["matched"], where
        # At most the one step that was running when the driver died ran again.
        assert sum(left["ran"].values()) <= len(steps) + 2, where
        assert set(left["ran"]) == {*steps, "child"}, where
        # The lease, the poll, and the work itself on a busy machine.
        assert case["seconds"] < LEASE_SECONDS + 5, where
    times = sorted(case["seconds"] for case, _ in found if case["died"])
    recovery.note("1", what, [], times, faults=len(times), runs=len(found))


@contextlib.contextmanager
def tenant(root: Path, log: Path) -> Iterator[dict[str, str]]:
    """A step handler in a process of its own; the variables that point to it."""
    log.touch()
    port = server.free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.http_tenant", str(port), "1", "0"],
        cwd=root,
        env={**os.environ, "CHAOS_LOG": str(log)},
    )
    try:
        server.eventually(lambda: _listens(port), what="the tenant")
        yield {
            "CASE_KIND": "http",
            "ZELAVIS_RUNS_TENANT_URL": f"http://127.0.0.1:{port}",
            "ZELAVIS_RUNS_TENANT_SECRET": "shared-dev-secret",
        }
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def check_sends(found: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """The rules of a run over HTTP: each step is one invocation, so a kill repeats at most one step."""
    assert len(found) > 20, "the run has more commits and sends than that"
    assert not found[-1][0]["died"], "every point up to the last was tried"
    steps = [f"step-{number}" for number in range(4)]
    for case, left in found:
        where = f"case {case['at']}: {case} {left}"
        assert case["code"] == 0, where
        assert left["status"] == "completed", where
        assert left["steps"] == steps, where
        assert not left["gaps"], where
        assert set(left["ran"]) == set(steps), where
        assert sum(left["ran"].values()) <= len(steps) + case["died"], where


def test_killed_at_every_send_on_sqlite(root: Path, tmp_path: Path) -> None:
    """With a tenant over HTTP the driver can die before and after each send and each commit, on SQLite."""
    with tenant(root, tmp_path / "effects.jsonl") as variables:
        check_sends(cases(root, tmp_path, **variables))


@pytest.mark.postgresql
def test_killed_at_every_send_on_postgresql(root: Path, tmp_path: Path, postgresql_server: Any) -> None:
    """On PostgreSQL too."""
    with tenant(root, tmp_path / "effects.jsonl") as variables:
        check_sends(cases(root, tmp_path, **variables, **production(postgresql_server.database("crash_sends"))))


def test_killed_at_every_point_on_sqlite(root: Path, tmp_path: Path, recovery: Recovery) -> None:
    """On SQLite every point of a run with steps, sleep, event and child can be the last one of its driver."""
    check(cases(root, tmp_path), recovery, "driver killed at each commit, SQLite, lease 0.2 s")


@pytest.mark.postgresql
def test_killed_at_every_point_on_postgresql(
    root: Path, tmp_path: Path, postgresql_server: Any, recovery: Recovery
) -> None:
    """On PostgreSQL too."""
    found = cases(root, tmp_path, **production(postgresql_server.database("crash_points")))
    check(found, recovery, "driver killed at each commit, PostgreSQL, lease 0.2 s")


def production(database: str) -> dict[str, str]:
    """What a server on PostgreSQL has to be told; no bell can ring."""
    return {
        "ZELAVIS_DATABASE_URL": database,
        "ZELAVIS_BROKER_URL": "redis://127.0.0.1:1/0",
        "ZELAVIS_SECRET_KEY": "a key for tests only, of enough characters",
        "ZELAVIS_ALLOWED_HOSTS": "localhost",
    }
