"""Processes are killed, stopped and replaced under load: what was promised is kept."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.chaos.checks import check, effects, wait_until_ended
from tests.chaos.cluster import LEASE_SECONDS, Cluster
from tests.chaos.load import Client, Load
from tests.chaos.report import Recovery

pytestmark = [pytest.mark.chaos, pytest.mark.postgresql, pytest.mark.redis]


@pytest.mark.parametrize("kind", ["worker", "web", "beat"])
def test_killed_at_random(cluster: Cluster, recovery: Recovery, name: str, seed: int, kind: str) -> None:
    """Row 1: SIGKILL at random times of workers, web servers or beat: every run ends, no journaled step runs again."""
    dice = random.Random(seed)
    victims = [part for part in cluster.usual() if part.startswith(kind)]
    with Load(cluster, name, seed) as load:
        for _ in range(3):
            time.sleep(dice.uniform(0.8, 2.0))
            victim = dice.choice(victims)
            cluster.parts[victim].kill()
            recovery.over()
            time.sleep(dice.uniform(0.0, 1.0))
            cluster.parts[victim].start()
            cluster.wait_part(victim)
    wait_until_ended(cluster.rows, [promise.run_id for promise in load.promises], seconds=30)
    verdict = check(cluster.rows, cluster.log, load.promises)
    assert verdict.runs > 20
    # A kill can interrupt what its process had in hand, and nothing else: two slots of a worker, eight of a web server.
    assert verdict.repeated <= 3 * 8
    recovery.measure("1", f"SIGKILL of a {kind}", cluster.log, load.promises, verdict)


def test_stopped_beyond_its_lease(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 3: a worker stopped for longer than its lease and continued writes nothing under its old fences."""
    client = Client(cluster, random.Random(seed))
    cluster.parts["worker-2"].kill()
    promises = [client.trigger(f"{name}-{number}", "chaos-load", {"steps": 6, "seconds": 0.4}) for number in range(2)]
    ids = [promise.run_id for promise in promises]
    deadline = time.monotonic() + 10
    while sum(len(lines) for run, lines in effects(cluster.log).items() if run in ids) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    stopped = cluster.parts["worker-1"]
    stopped.signal(signal.SIGSTOP)
    recovery.over()
    held = dict(cluster.rows("SELECT id, fence FROM runs_run WHERE id = ANY(%s) AND status = 'running'", ids))
    cluster.parts["worker-2"].start()
    wait_until_ended(cluster.rows, ids, seconds=LEASE_SECONDS + 15)
    before = cluster.rows("SELECT run_id, seq, fence FROM runs_journal WHERE run_id = ANY(%s)", ids)
    stopped.signal(signal.SIGCONT)
    time.sleep(1.5)
    after = cluster.rows("SELECT run_id, seq, fence FROM runs_journal WHERE run_id = ANY(%s)", ids)
    assert sorted(after) == sorted(before), "the continued driver wrote"
    assert held, "nothing was in the stopped driver's hands"
    for run_id, fence in held.items():
        assert any(row[0] == run_id and row[2] > fence for row in after), "nobody took the run over"
    verdict = check(cluster.rows, cluster.log, promises)
    recovery.measure("3", "SIGSTOP of a worker beyond its lease", cluster.log, promises, verdict)
    client.close()


def test_stopped_and_continued_under_load(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 3: workers and a web server that stand still and go on, at random, under load: nothing stale is written."""
    dice = random.Random(seed)
    with Load(cluster, name, seed) as load:
        for victim in ("worker-1", "web-1", "worker-2"):
            time.sleep(dice.uniform(0.3, 0.8))
            cluster.parts[victim].signal(signal.SIGSTOP)
            recovery.over()
            time.sleep(LEASE_SECONDS + dice.uniform(0.2, 0.8))
            cluster.parts[victim].signal(signal.SIGCONT)
    wait_until_ended(cluster.rows, [promise.run_id for promise in load.promises], seconds=30)
    verdict = check(cluster.rows, cluster.log, load.promises)
    recovery.measure("3", "SIGSTOP, SIGCONT under load", cluster.log, load.promises, verdict)


def test_rolling_restart(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 26: every process is replaced under load, a worker beside the old one of its name: no run is lost."""
    with Load(cluster, name, seed) as load:
        for part in cluster.usual():
            time.sleep(0.3)
            process = cluster.parts[part]
            if part.startswith("worker"):
                # Both are there for a while, under one name.
                old = process.process
                process.start()
                cluster.wait_part(part)
                assert old is not None
                old.terminate()
                recovery.over()
                old.wait(20)
            else:
                process.stop()
                recovery.over()
                process.start()
                cluster.wait_part(part)
    wait_until_ended(cluster.rows, [promise.run_id for promise in load.promises], seconds=30)
    verdict = check(cluster.rows, cluster.log, load.promises)
    # A warm shutdown interrupts nothing; only a web server's drive of a request may be cut.
    assert verdict.repeated <= 16
    recovery.measure("26", "rolling restart", cluster.log, load.promises, verdict)


def test_everything_killed_at_once(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 1: all processes, PostgreSQL and Redis die in the same moment, as when the power fails; then they start."""
    load = Load(cluster, name, seed)
    with load:
        time.sleep(2.5)
        for part in cluster.parts.values():
            part.kill()
        cluster.redis.stop()
        cluster.postgresql.stop("immediate")
        cluster.postgresql.start()
        cluster.redis.start()
        recovery.over()
        for part in cluster.usual():
            cluster.parts[part].start()
        cluster.wait_ready()
        time.sleep(0.5)
    wait_until_ended(cluster.rows, [promise.run_id for promise in load.promises], seconds=30)
    verdict = check(cluster.rows, cluster.log, load.promises)
    recovery.measure("1", "everything killed at once", cluster.log, load.promises, verdict)
