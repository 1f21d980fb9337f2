"""What the chaos suite shares: one installation for each process of the suite, seeds, and the table at the end."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import cluster as clusters
from tests.chaos import report
from tests.chaos.cluster import Cluster


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Real processes for the whole session."""
    with clusters.running(tmp_path_factory.mktemp("chaos")) as running:
        yield running


@pytest.fixture
def cluster(installation: Cluster) -> Iterator[Cluster]:
    """The installation, whole before and after the test."""
    installation.heal()
    yield installation
    installation.heal()


@pytest.fixture
def seed(record_property: Any, request: pytest.FixtureRequest) -> int:
    """What the dice of this test begin with; ``CHAOS_SEED`` repeats a run. Printed with the result."""
    drawn = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
    print(f"CHAOS_SEED={drawn}")
    record_property("seed", f"{request.node.name} {drawn}")
    return drawn


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A prefix for the runs of this test."""
    return str(request.node.name).removeprefix("test_").replace("[", "-").replace("]", "")


@pytest.fixture
def recovery(record_property: Any) -> report.Recovery:
    """Where the test notes how long recovery took."""
    return report.Recovery(record_property)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Seeds and recovery times, whatever process of the suite measured them."""
    found: dict[str, list[str]] = {"seed": [], report.NAME: []}
    for outcome in ("passed", "failed"):
        for done in terminalreporter.stats.get(outcome, []):
            for key, value in getattr(done, "user_properties", []):
                if key in found and getattr(done, "when", "") == "call":
                    found[key].append(value)
    if found["seed"]:
        terminalreporter.section("chaos seeds")
        for line in found["seed"]:
            terminalreporter.write_line(line)
    entries = [json.loads(line) for line in found[report.NAME]]
    if entries:
        terminalreporter.section("chaos recovery")
        lines = report.table(entries)
        for line in lines:
            terminalreporter.write_line(line)
        if os.environ.get("CHAOS_REPORT"):
            Path(os.environ["CHAOS_REPORT"]).write_text("\n".join(lines) + "\n", encoding="utf-8")
