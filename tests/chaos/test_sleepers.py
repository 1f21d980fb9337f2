"""A hundred thousand sleep, and thousands are due in the same instant."""

from __future__ import annotations

import os
import time
from collections import Counter

import psycopg
import pytest

from tests.chaos import sleepers
from tests.chaos.checks import check_journal, effects, wait_until_woken
from tests.chaos.cluster import Cluster
from tests.chaos.report import Recovery

pytestmark = [pytest.mark.chaos, pytest.mark.postgresql, pytest.mark.redis]
#: ``CHAOS_FULL=1``: the burst of the matrix. The usual one is smaller, so that the suite stays short.
DUE = 10_000 if os.environ.get("CHAOS_FULL") else 2_000


def test_a_burst_among_many(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 22: thousands of alarms of one instant among 90,000 other sleepers are all delivered, each once."""
    sleepers.insert(cluster.database_url, f"{name}-far", 90_000, wake_in_ms=86_400_000)
    sleepers.insert(cluster.database_url, name, DUE, wake_in_ms=2_000)
    with psycopg.connect(cluster.database_url, autocommit=True) as connection:
        idle = []
        for _ in range(200):
            began = time.perf_counter()
            connection.execute("SELECT MIN(wake_at) FROM runs_run WHERE wake_at IS NOT NULL AND NOT paused").fetchone()
            idle.append(time.perf_counter() - began)
        assert sorted(idle)[100] < 0.02
    due_at = cluster.rows("SELECT max(wake_at) FROM runs_run WHERE id LIKE %s AND wake_at < %s", f"{name}-%", _soon())
    ids = [f"{name}-{number}" for number in range(1, DUE + 1)]
    try:
        wait_until_woken(cluster.rows, name, seconds=240)
        lines = effects(cluster.log)
        assert Counter(line["run"] for run in ids for line in lines[run]) == Counter(ids)
        for run_id in ids[::100]:
            check_journal(cluster.rows, run_id, lines[run_id])
        ended = cluster.rows("SELECT min(completed_at), max(completed_at) FROM runs_run WHERE id = ANY(%s)", ids)[0]
        recovery.note(
            "22",
            f"{DUE:,} due at once among {DUE + 90_000:,}",
            [(ended[0] - due_at[0][0]) / 1000],
            [(ended[1] - due_at[0][0]) / 1000],
            faults=1,
            runs=DUE,
        )
    finally:
        with psycopg.connect(cluster.database_url, autocommit=True) as connection:
            for table, column in (("run", "id"), ("data", "run_id"), ("journal", "run_id"), ("waitpoint", "run_id")):
                connection.execute(f"DELETE FROM runs_{table} WHERE {column} LIKE '{name}-%'")  # type: ignore[arg-type]


def _soon() -> int:
    return int(time.time() * 1000) + 3_600_000
