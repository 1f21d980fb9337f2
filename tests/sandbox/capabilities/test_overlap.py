"""Calls that overlap: real threads on a real database file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def _run(environment: dict[str, str]) -> Any:
    # Nothing of the suite's own database: on PostgreSQL its address stands in the environment.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZELAVIS_")}
    command = [sys.executable, "-m", "tests.sandbox.capabilities.overlap"]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        command, cwd=root, env={**kept, **environment}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


WANTED = {"records": 32, "hourly": 33, "counted": 33, "mail": 17}


def test_overlapping_calls_on_sqlite(tmp_path: Path) -> None:
    """Eight threads lose no update of a record, and pass no hourly quantity by a single call."""
    assert _run({"ZELAVIS_DATA_DIR": str(tmp_path)}) == WANTED


@pytest.mark.postgresql
def test_overlapping_calls_on_postgresql(postgresql_server: Any, tmp_path: Path) -> None:
    """The same on PostgreSQL, with the same code."""
    database = postgresql_server.database("overlap")
    environment = {
        "ZELAVIS_DATA_DIR": str(tmp_path),
        "ZELAVIS_DATABASE_URL": database,
        "ZELAVIS_BROKER_URL": "redis://127.0.0.1:1/0",
        "ZELAVIS_SECRET_KEY": "a key for tests only, of enough characters",
        "ZELAVIS_ALLOWED_HOSTS": "localhost",
    }
    assert _run(environment) == WANTED
