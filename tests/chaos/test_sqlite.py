"""SQLite with several processes: the write lock is waited for, and nothing is claimed twice."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import server
from tests.chaos.checks import check_family, check_output, effects
from tests.chaos.load import Promise

pytestmark = pytest.mark.chaos


def test_four_processes_on_one_file(root: Path, tmp_path: Path) -> None:
    """Row 10: four processes that write and drive at once on SQLite: no lock error, no double claim, nothing lost."""
    log = tmp_path / "effects.jsonl"
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.sqlite_workers", "80"],
        cwd=root,
        env=server.environment(tmp_path / "data", CHAOS_LOG=str(log)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "locked" not in done.stderr, done.stderr[-3000:]
    promises = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(promises) == 80
    lines = effects(log)
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "zelavis.sqlite3")) as connection:

        def rows(sql: str, *values: Any) -> list[tuple[Any, ...]]:
            return connection.execute(sql.replace("%s", "?"), values).fetchall()

        for promise in promises:
            run_id = promise["run"]
            assert rows("SELECT status FROM runs_run WHERE id = %s", run_id) == [("completed",)]
            family, _, repeated = check_family(rows, lines, run_id)
            assert repeated == 0, run_id
            check_output(rows, Promise(run_id, "chaos-load", promise["given"], sent=[run_id]), family)
