"""Runs, payloads, tenants and deployments that do harm: it stays theirs."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from tests import server
from tests.chaos.checks import check, effects, error_of, wait_until_ended
from tests.chaos.cluster import LEASE_SECONDS, Cluster
from tests.chaos.load import Client, Load, Promise
from tests.chaos.report import Recovery

pytestmark = [pytest.mark.chaos, pytest.mark.postgresql, pytest.mark.redis]


@contextlib.contextmanager
def tenant(cluster: Cluster, seed: int, share: float) -> Iterator[subprocess.Popen[bytes]]:
    """The HTTP tenant's process, ready to answer."""
    process = subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "tests.chaos.http_tenant"),
            *(str(cluster.tenant_port), str(seed), str(share)),
        ],
        cwd=server.ROOT,
        env=server.environment(cluster.folder, CHAOS_LOG=str(cluster.log)),
    )
    try:
        server.eventually(lambda: _answers(cluster.tenant_port), what="the tenant")
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return bool(httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code)
    return False


def test_poison_run(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 17: runs that kill whoever drives them, workers and web servers, are given up; all others go on."""
    client = Client(cluster, random.Random(seed))
    began = time.monotonic()
    with Load(cluster, name, seed, threads=3) as load:
        poison = []
        for number, wait in enumerate((False, True)):
            run_id = f"{name}-poison-{number}"
            poison.append(Promise(run_id, "chaos-poison", {}))
            with contextlib.suppress(httpx.TransportError):
                client._http.post(
                    cluster.urls["web-1"] + "/api/runs",
                    json={"workflowId": "chaos-poison", "runId": run_id, "input": {}},
                    headers={} if wait else {"Prefer": "respond-async"},
                )
        ids = [promise.run_id for promise in poison]
        # The lease ends after each death, and the lines of a busy machine are long.
        wait_until_ended(cluster.rows, ids, seconds=8 * LEASE_SECONDS + 20)
        recovery.over()
    given_up = time.monotonic() - began
    client.close()
    verdict = check(cluster.rows, cluster.log, poison, state="failed")
    lines = effects(cluster.log)
    for run_id in ids:
        assert json.loads(error_of(cluster.rows, run_id)[0][0])["code"] == "DRIVER_DIED"
        assert 1 < sum(line["step"] == "poison" for line in lines[run_id]) <= 6
    recovery.note("17", "runs that kill their drivers: given up", [], [given_up], faults=2, runs=verdict.runs)
    wait_until_ended(cluster.rows, [promise.run_id for promise in load.promises], seconds=30)
    assert check(cluster.rows, cluster.log, load.promises).runs > 10


def test_poison_payloads(cluster: Cluster, name: str, seed: int) -> None:
    """Row 18: what cannot be kept is refused at the door with a 4xx; the rest is kept as it was; nothing hangs."""
    bodies = {
        "large": json.dumps("x" * 5_000_000),
        "nan": "NaN",
        "infinity": "1e999",
        "deep": "[" * 100_000 + "]" * 100_000,
        "nul": '"a\\u0000b"',
        "surrogate": '"\\ud800"',
        "number": "1" * 5000,
        "keys": json.dumps({"": {"": None}, "\u202e": 1}),
        "twice": '{"a": 1, "a": 2}',
    }
    accepted = []
    for kind, text in bodies.items():
        run_id = f"{name}-{kind}"
        head = f'{{"workflowId": "chaos-load", "runId": "{run_id}", "input": {{"steps": 1, "payload": '
        answer = cluster.client.post(cluster.urls["web-1"] + "/api/runs", content=head + text + "}}")
        assert answer.status_code < 500, (kind, answer.text)
        if answer.status_code < 300:
            accepted.append(Promise(run_id, "chaos-load", {"steps": 1}))
        else:
            assert answer.json()["error"], kind
            assert not cluster.rows("SELECT 1 FROM runs_run WHERE id = %s", run_id), kind
    refused = set(bodies) - {promise.run_id.rpartition("-")[2] for promise in accepted}
    assert refused >= {"large", "nan", "infinity", "deep", "surrogate"}, refused
    wait_until_ended(cluster.rows, [promise.run_id for promise in accepted], seconds=20)
    check(cluster.rows, cluster.log, accepted)
    # The same at an event's door.
    client = Client(cluster, random.Random(seed))
    waiting = client.trigger(f"{name}-waits", "chaos-load", {"steps": 1, "events": 1})
    path = f"{cluster.urls['web-1']}/api/runs/{waiting.run_id}/events?deliver=buffer"
    for kind in refused:
        answer = cluster.client.post(path, content=f'{{"eventType": "go", "payload": {bodies[kind]}}}')
        assert 400 <= answer.status_code < 500, (kind, answer.text)
    answer = cluster.client.post(path, json={"eventType": "go\x00", "payload": 1})
    assert answer.status_code < 500, answer.text
    client.event(waiting, "good")
    wait_until_ended(cluster.rows, [waiting.run_id], seconds=20)
    assert cluster.rows("SELECT status FROM runs_run WHERE id = %s", waiting.run_id) == [("completed",)]
    client.close()


def test_tenant_with_faults(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 19: a tenant that answers 500, 502, 429, garbage, nothing, or hangs is asked again until it does right."""
    client = Client(cluster, random.Random(seed))
    with tenant(cluster, seed, 0.4):
        promises = [
            client.trigger(f"{name}-{number}", "http-steps", {"steps": 3, "seconds": 0.01}) for number in range(30)
        ]
        recovery.over()
        wait_until_ended(cluster.rows, [promise.run_id for promise in promises], seconds=60)
    client.close()
    verdict = check(cluster.rows, cluster.log, promises)
    assert verdict.repeated > 0, "no answer was lost"
    recovery.measure("19", "tenant over HTTP: 40 % of its answers are faults", cluster.log, promises, verdict)


def test_tenant_killed(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 2: a tenant that is killed in the middle of invocations costs a retry, not the run."""
    dice = random.Random(seed)
    client = Client(cluster, dice)
    promises: list[Promise] = []
    for round_ in range(2):
        with tenant(cluster, seed, 0.0) as process:
            promises += [
                client.trigger(f"{name}-{round_}-{number}", "http-steps", {"steps": 5, "seconds": 0.2})
                for number in range(6)
            ]
            time.sleep(dice.uniform(0.3, 0.9))
            process.kill()
            process.wait()
        time.sleep(0.5)
    with tenant(cluster, seed, 0.0):
        recovery.over()
        wait_until_ended(cluster.rows, [promise.run_id for promise in promises], seconds=40)
    client.close()
    verdict = check(cluster.rows, cluster.log, promises)
    assert verdict.repeated > 0, "the tenant was not at work"
    recovery.measure("2", "SIGKILL of the tenant, back after 0.5 s", cluster.log, promises, verdict)


def test_careless_deployment(cluster: Cluster, name: str, seed: int) -> None:
    """Rows 20 and 21: code that leaves the way of the journal ends the run with the step named; no loop."""
    client = Client(cluster, random.Random(seed))
    promise = client.trigger(f"{name}-1", "chaos-deployed", {})
    server.eventually(
        lambda: cluster.rows("SELECT 1 FROM runs_run WHERE id = %s AND status = 'waiting'", promise.run_id),
        what="the wait",
    )
    for worker in ("worker-1", "worker-2"):
        cluster.parts[worker].stop()
        cluster.parts[worker].start(CHAOS_VERSION="2")
    client.event(promise, "now")
    wait_until_ended(cluster.rows, [promise.run_id], seconds=40)
    for worker in ("worker-1", "worker-2"):
        cluster.parts[worker].kill()
    client.close()
    check(cluster.rows, cluster.log, [promise], state="failed")
    error = json.loads(error_of(cluster.rows, promise.run_id)[0][0])
    assert error["code"] == "non_deterministic"
    assert "'two'" in error["message"]
    assert "'other'" in error["message"]
    assert len(effects(cluster.log)[promise.run_id]) == 2
