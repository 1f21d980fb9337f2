"""The database is restarted, cut off, slow, or read-only under load: what was acknowledged is kept."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.chaos.checks import check, wait_until_ended
from tests.chaos.cluster import LEASE_SECONDS, Cluster
from tests.chaos.load import Client, Load
from tests.chaos.proxy import Proxy
from tests.chaos.report import Recovery

pytestmark = [pytest.mark.chaos, pytest.mark.postgresql, pytest.mark.redis]


def settle(cluster: Cluster, load: Load, recovery: Recovery, row: str, what: str) -> None:
    """The end of each test: everything has ended, the common rule holds, the times are noted."""
    wait_until_ended(cluster.rows, [promise.run_id for promise in load.promises], seconds=40)
    verdict = check(cluster.rows, cluster.log, load.promises)
    assert verdict.runs > 5
    for client in load.clients:
        for status, body in client.errors:
            # While the database is away the server says so, in its own words.
            assert status in (500, 503), body
            assert '"error"' in body, body
    recovery.measure(row, what, cluster.log, load.promises, verdict)


@pytest.mark.parametrize(("mode", "times"), [("immediate", 3), ("fast", 2)])
def test_restarts(cluster: Cluster, recovery: Recovery, name: str, seed: int, mode: str, times: int) -> None:
    """Row 7: PostgreSQL is restarted again and again: no process of ours has to be, nothing acknowledged is lost."""
    dice = random.Random(seed)
    pids = {part: cluster.parts[part].process.pid for part in cluster.usual()}  # type: ignore[union-attr]
    with Load(cluster, name, seed) as load:
        for _ in range(times):
            time.sleep(dice.uniform(1.0, 2.0))
            cluster.postgresql.stop(mode)
            time.sleep(dice.uniform(0.0, 1.0))
            cluster.postgresql.start()
            recovery.over()
        time.sleep(1.5)
    settle(cluster, load, recovery, "7", f"PostgreSQL restarted, {mode}")
    assert all(cluster.parts[part].alive for part in pids), "a process did not survive"


def test_connections_terminated(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 8: every connection is terminated twice a second for a while: no run fails by it."""
    ended = 0
    with Load(cluster, name, seed) as load:
        for _ in range(16):
            time.sleep(0.5)
            ended += cluster.postgresql.terminate_connections()
        recovery.over()
    assert ended > 50
    settle(cluster, load, recovery, "8", "connections terminated twice a second for 8 s")


def test_cut_in_the_middle_of_a_commit(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 9: connections are cut before or after a statement or COMMIT reached the server; no answer tells which."""
    dice = random.Random(seed)
    cuts = {"before": 0, "after": 0, "commit": 0}

    def nemesis(data: bytes) -> str | None:
        writes = b"COMMIT" in data or b"runs_" in data or b"_pg3_" in data
        if not writes or dice.random() > 0.04:
            return None
        fate = dice.choice(["before", "after"])
        cuts[fate] += 1
        cuts["commit"] += b"COMMIT" in data
        return fate

    def ours() -> list[Proxy]:
        return [cluster.proxies[f"db {part}"] for part in ("worker-1", "worker-2", "web-1", "web-2")]

    with Load(cluster, name, seed) as load:
        time.sleep(0.5)
        for proxy in ours():
            proxy.nemesis = nemesis
        time.sleep(8)
        for proxy in ours():
            proxy.heal()
        recovery.over()
    assert min(cuts.values()) > 2, cuts
    print(cuts)
    settle(cluster, load, recovery, "9", "connections cut in the middle of commits for 8 s")


def test_blackhole(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Rows 3 and 9: a worker's packets to the database vanish beyond its lease, then all arrive: too late, fenced."""
    with Load(cluster, name, seed) as load:
        time.sleep(1.0)
        for victim in ("worker-1", "worker-2"):
            cluster.proxies[f"db {victim}"].blackhole()
            recovery.over()
            time.sleep(LEASE_SECONDS + 1.5)
            cluster.proxies[f"db {victim}"].heal()
            time.sleep(0.5)
    settle(cluster, load, recovery, "9", "a worker's database in a black hole for 3.5 s")


def test_slow(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 9: every packet to the database is late by 30 ms: everything is slower, and right."""
    with Load(cluster, name, seed, threads=2) as load:
        for proxy in cluster.proxies.values():
            proxy.delay = 0.03
        time.sleep(4)
        for proxy in cluster.proxies.values():
            proxy.heal()
        recovery.over()
    settle(cluster, load, recovery, "9", "every packet 30 ms late for 4 s")


def test_read_only(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 24: a database that takes no writes for a while, as after a failover or on a full disk, fails no run."""
    with Load(cluster, name, seed) as load:
        time.sleep(1.0)
        _write_lock(cluster, on=True)
        time.sleep(2.5)
        _write_lock(cluster, on=False)
        recovery.over()
        time.sleep(1.0)
    settle(cluster, load, recovery, "24", "database read-only for 2.5 s")


def _write_lock(cluster: Cluster, *, on: bool) -> None:
    with psycopg.connect(cluster.postgresql.url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}")
        connection.execute("SELECT pg_reload_conf()")


def test_answers_that_were_lost(cluster: Cluster, name: str, seed: int) -> None:
    """Row 9: a trigger or an event whose answer was lost after its commit is asked for again, and done once."""
    webs = [cluster.proxies["db web-1"], cluster.proxies["db web-2"]]
    client = Client(cluster, random.Random(seed))
    lost = [0]

    def after_commit(data: bytes) -> str | None:
        lost[0] += b"COMMIT" in data
        return "after" if b"COMMIT" in data else None

    def ask(what: Callable[[], Any]) -> Any:
        for proxy in webs:
            proxy.nemesis = after_commit
        timer = threading.Timer(0.3, lambda: [proxy.heal() for proxy in webs])
        timer.start()
        try:
            return what()
        finally:
            timer.join()

    promises = []
    try:
        for number in range(5):
            run_id = f"{name}-{number}"
            promises.append(ask(lambda run_id=run_id: client.trigger(run_id, "chaos-load", {"steps": 1, "events": 1})))
            ask(lambda run_id=run_id: client.event(promises[-1], f"{run_id}/event"))
        assert lost[0] >= 5
        wait_until_ended(cluster.rows, [promise.run_id for promise in promises], seconds=30)
        check(cluster.rows, cluster.log, promises)
    finally:
        client.close()
