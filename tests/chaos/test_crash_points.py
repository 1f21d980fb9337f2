"""The driver dies at its n-th commit, for every n there is: each run finishes, and no journaled step runs twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.chaos
LEASE_SECONDS = 0.2


def cases(root: Path, folder: Path, **variables: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Run every case in one process tree; ``(what happened, what is left)`` for each."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZELAVIS_", "DJANGO_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.crash_points", "1", "200", "1"],
        cwd=root,
        env={**kept, "CASE_FOLDER": str(folder), "ZELAVIS_DATA_DIR": str(folder / "data"), **variables},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return list(zip(lines[::2], lines[1::2], strict=True))


def check(found: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
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
    print(f"recovery after {len(times)} kills: p50 {times[len(times) // 2]:.3f} s, max {times[-1]:.3f} s")


def test_killed_at_every_point_on_sqlite(root: Path, tmp_path: Path) -> None:
    """On SQLite every point of a run with steps, sleep, event and child can be the last one of its driver."""
    check(cases(root, tmp_path))


@pytest.mark.postgresql
def test_killed_at_every_point_on_postgresql(root: Path, tmp_path: Path, postgresql_server: Any) -> None:
    """On PostgreSQL too."""
    check(
        cases(
            root,
            tmp_path,
            ZELAVIS_DATABASE_URL=postgresql_server.database("crash_points"),
            ZELAVIS_BROKER_URL="redis://127.0.0.1:1/0",
            ZELAVIS_SECRET_KEY="a key for tests only, of enough characters",
            ZELAVIS_ALLOWED_HOSTS="localhost",
        )
    )
