"""The npm tenant's suite once more, with the server on PostgreSQL and Redis."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import services

pytestmark = [pytest.mark.node, pytest.mark.postgresql, pytest.mark.redis]


def test_the_suite_on_postgresql(
    root: Path, postgresql_server: services.PostgreSQL, redis_server: services.Redis
) -> None:
    """Whatever holds for the npm tenant on SQLite holds on PostgreSQL with Redis, two workers and two web processes."""
    files = [f"tests/runs/test_npm_tenant_{part}.py" for part in ("bodies", "waits", "control", "manifests", "corners")]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-m", "node", *files],
        cwd=root,
        env={**os.environ, "NPM_DATABASE_URL": postgresql_server.url, "NPM_BROKER_URL": redis_server.url},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:]
