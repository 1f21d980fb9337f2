"""The default suite again, on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import PostgreSQL


@pytest.mark.postgresql
@pytest.mark.parametrize("suite", ["runs", "zelavis", "sandbox", "marketplace"])
def test_the_suite_passes_on_postgresql(postgresql_server: PostgreSQL, root: Path, suite: str) -> None:
    """What holds on SQLite holds on PostgreSQL, by the same tests."""
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            f"tests/{suite}",
            "--ignore=tests/zelavis/test_up.py",
            "-p",
            "no:cacheprovider",
            "--tb=short",
        ],
        cwd=root,
        env={**os.environ, "ZELAVIS_TEST_DATABASE_URL": postgresql_server.database(f"suite_{suite}")},
        capture_output=True,
        text=True,
    )
    print(answer.stdout[-6000:])
    # 5: a suite without unmarked tests.
    assert answer.returncode in (0, 5), answer.stdout[-6000:]
