"""Bells are lost, rung three times, or cannot be rung at all: a message is only a hint."""

from __future__ import annotations

import random
import time

import pytest
from celery import Celery

from tests.chaos.checks import check, wait_until_ended
from tests.chaos.cluster import Cluster
from tests.chaos.load import Client, Load
from tests.chaos.report import Recovery

pytestmark = [pytest.mark.chaos, pytest.mark.postgresql, pytest.mark.redis]


def settle(cluster: Cluster, load: Load, recovery: Recovery, row: str, what: str) -> None:
    """Everything has ended by itself, nothing ran twice, and no caller saw an error."""
    wait_until_ended(cluster.rows, [promise.run_id for promise in load.promises], seconds=60)
    verdict = check(cluster.rows, cluster.log, load.promises)
    assert verdict.runs > 10
    assert verdict.repeated == 0
    assert [error for client in load.clients for error in client.errors] == []
    recovery.measure(row, what, cluster.log, load.promises, verdict)


def test_every_bell_three_times(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 4: every message comes three times more, to both workers: one driver at a time, nothing is done twice."""
    client = Client(cluster, random.Random(seed))
    bells = Celery("chaos", broker=cluster.redis.url, set_as_current=False)
    promises = []
    given = {"steps": 3, "seconds": 0.02, "sleep": 0.1, "child": True}
    try:
        for number in range(15):
            promise = client.trigger(f"{name}-{number}", "chaos-load", given)
            promises.append(promise)
            for _ in range(3):
                bells.send_task("runs.tasks.drive", args=[promise.run_id], ignore_result=True)
                bells.send_task("runs.tasks.work", ignore_result=True)
        wait_until_ended(cluster.rows, [promise.run_id for promise in promises], seconds=30)
        verdict = check(cluster.rows, cluster.log, promises)
        assert verdict.repeated == 0
    finally:
        client.close()
        bells.close()


def test_lost_bells(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 5: Redis forgets everything ten times a second: the sweep finds every run."""
    with Load(cluster, name, seed) as load:
        for _ in range(40):
            time.sleep(0.1)
            cluster.redis.flush()
        recovery.over()
    settle(cluster, load, recovery, "5", "Redis flushed ten times a second for 4 s")


@pytest.mark.parametrize("seconds", [2, 12])
def test_broker_away(cluster: Cluster, recovery: Recovery, name: str, seed: int, seconds: int) -> None:
    """Row 6: without Redis triggers are accepted without an error, and done when it is back."""
    with Load(cluster, name, seed, pause=0.15 if seconds < 5 else 0.6) as load:
        time.sleep(0.5)
        cluster.redis.stop()
        time.sleep(seconds)
        cluster.redis.start()
        recovery.over()
    settle(cluster, load, recovery, "6", f"Redis away for {seconds} s")
    # Nobody ended of it: not every installation has somebody who starts a worker again.
    assert [name for name in cluster.usual() if not cluster.parts[name].alive] == []


def test_broker_in_a_black_hole(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 6: a broker that takes everything and answers nothing does not hold up those who trigger."""
    with Load(cluster, name, seed, pause=0.4) as load:
        time.sleep(0.5)
        brokers = [proxy for part, proxy in cluster.proxies.items() if part.startswith("redis")]
        for proxy in brokers:
            proxy.blackhole()
        time.sleep(6)
        for proxy in brokers:
            proxy.heal()
        recovery.over()
    # The first to ring finds out, within two seconds; for a while after that nobody tries.
    assert max(client.slowest for client in load.clients) < 4.5
    assert len(load.promises) > 10
    settle(cluster, load, recovery, "6", "Redis in a black hole for 6 s")
