"""Parents, children and cancels, with several hands on the same runs."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.checks import check, check_journal, effects, wait_until_ended
from tests.chaos.cluster import Cluster
from tests.chaos.load import Client
from tests.chaos.report import Recovery

pytestmark = [pytest.mark.chaos, pytest.mark.postgresql, pytest.mark.redis]


def test_families_under_kills(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 23: workers die while parents wait and children run: each child runs once, and its parent hears once."""
    client = Client(cluster, random.Random(seed))
    given = {"steps": 2, "seconds": 0.15, "child": True}
    promises = [client.trigger(f"{name}-{number}", "chaos-load", given) for number in range(12)]
    for victim in ("worker-1", "worker-2"):
        time.sleep(1.0)
        cluster.parts[victim].kill()
        recovery.over()
        cluster.parts[victim].start()
    wait_until_ended(cluster.rows, [promise.run_id for promise in promises], seconds=40)
    verdict = check(cluster.rows, cluster.log, promises)
    client.close()
    recovery.measure("23", "SIGKILL of both workers while children run", cluster.log, promises, verdict)


def test_cancelled_families(cluster: Cluster, name: str, seed: int) -> None:
    """Row 23: a parent that is cancelled while its child works takes the child along; nothing is left running."""
    client = Client(cluster, random.Random(seed))
    given = {"steps": 1, "seconds": 0.4, "child": True}
    promises = [client.trigger(f"{name}-{number}", "chaos-load", given) for number in range(6)]
    children = "SELECT id FROM runs_run WHERE parent_id LIKE %s AND status = 'running'"
    deadline = time.monotonic() + 20
    while not cluster.rows(children, f"{name}-%"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for promise in promises:
        cluster.client.post(f"{cluster.urls['web-2']}/api/runs/{promise.run_id}/cancel", json={})
    ids = [promise.run_id for promise in promises]
    wait_until_ended(cluster.rows, ids, seconds=20)
    ended = dict(cluster.rows("SELECT id, status FROM runs_run WHERE id = ANY(%s)", ids))
    family = cluster.rows("SELECT id, parent_id, status FROM runs_run WHERE parent_id = ANY(%s)", ids)
    assert set(ended.values()) <= {"cancelled", "completed"}
    assert "cancelled" in ended.values()
    for _, parent, status in family:
        # A child that ended before the cancel stays ended.
        assert status in ("cancelled", "completed")
        assert ended[parent] == "cancelled" or status == "completed"
    lines = effects(cluster.log)
    before = {run_id: len(lines[run_id]) for run_id in [*ids, *(row[0] for row in family)]}
    time.sleep(1.0)
    lines = effects(cluster.log)
    for run_id, count in before.items():
        assert len(lines[run_id]) <= count + 1, "a cancelled run went on"
        check_journal(cluster.rows, run_id, lines[run_id]) if ended.get(run_id) == "completed" else None
    client.close()


def test_cancel_against_finish_and_event(cluster: Cluster, name: str, seed: int) -> None:
    """Row 16: cancel, event and end at the same moment, from both web servers: one terminal state."""
    dice = random.Random(seed)
    client = Client(cluster, dice)

    def post(url: str, body: object) -> int:
        return cluster.client.post(url, json=body).status_code

    outcomes = {"cancelled": 0, "completed": 0}
    with ThreadPoolExecutor(4) as pool:
        for number in range(60):
            promise = client.trigger(f"{name}-{number}", "chaos-load", {"steps": 1, "events": 1}, wait=True)
            webs = [f"{cluster.urls[web]}/api/runs/{promise.run_id}" for web in ("web-1", "web-2")]
            event = pool.submit(post, webs[0] + "/events", {"eventType": "go", "payload": 1})
            time.sleep(dice.uniform(0, 0.02))
            cancels = [pool.submit(post, web + "/cancel", {}) for web in webs]
            answers = sorted(cancel.result() for cancel in cancels)
            assert event.result() in (200, 400, 409)
            wait_until_ended(cluster.rows, [promise.run_id], seconds=20)
            status = cluster.rows("SELECT status FROM runs_run WHERE id = %s", promise.run_id)[0][0]
            outcomes[status] += 1
            assert answers == ([200, 409] if status == "cancelled" else [409, 409])
    assert min(outcomes.values()) > 0, outcomes
    client.close()
