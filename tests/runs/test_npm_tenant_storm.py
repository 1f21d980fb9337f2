"""Many clients at once, at random: nothing is run twice, nothing is lost, nothing stands still."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.runs.npm import TERMINAL, House

pytestmark = [pytest.mark.node, pytest.mark.slow]

#: Workflow, input, and what it may be sent, more often than it needs.
KINDS: list[tuple[str, Any, list[tuple[str, dict[str, Any]]]]] = [
    ("plain", {"x": 1}, []),
    ("sleepy", {"ms": 30}, []),
    ("two-of-one", None, [("events", {"eventType": "ping", "payload": 1})] * 4),
    ("many-waits", {"count": 5}, [("signals", {"name": "next", "payload": 1})] * 9),
    ("all-kinds", None, [("events", {"eventType": "e"}), ("signals", {"name": "s"}), ("tokens/t", {})] * 2),
    ("sleep-and-event", {"ms": 40}, [("events", {"eventType": "poke"})] * 2),
    ("saga", {"event": True}, [("events", {"eventType": "decide"})] * 2),
    ("parent", None, []),
    ("parent-waits", {"ms": 20}, []),
    ("parent-catches", None, []),
    ("parent-after-sleep", None, []),
    ("parent-detached", None, []),
    ("metadata", None, [("signals", {"name": "go"})] * 2),
    ("streams", {"sleep": 10}, []),
    ("chat", None, [("events", {"eventType": "chat", "payload": {"__voyantStreamEnd": True}})] * 2),
]


def life(house: House, seed: int, number: int) -> str:
    """One client: trigger a run twice, send it everything until it has ended, sometimes cancel it."""
    dice = random.Random(f"{seed}/{number}")
    workflow, given, sends = dice.choice(KINDS)
    run = f"storm-{seed}-{number}"
    with httpx.Client(base_url=house.zelavis.url, headers=house.api.headers, timeout=30, trust_env=False) as client:
        body = {"workflowId": workflow, "workflowVersion": "v1", "input": given, "runId": run}
        headers = {"Prefer": "respond-async"} if dice.random() < 0.5 else {}
        for _ in range(dice.choice((1, 1, 2))):
            answer = client.post("/api/runs", json=body, headers=headers)
            assert answer.status_code in (200, 202), answer.text
        cancel = dice.random() < 0.15
        for _ in range(60):
            status = client.get(f"/api/runs/{run}").json()["status"]
            if status in TERMINAL:
                break
            for path, payload in sends:
                answer = client.post(f"/api/runs/{run}/{path}", json=payload)
                assert answer.status_code in (200, 400, 409), answer.text
            if cancel and dice.random() < 0.3:
                assert client.post(f"/api/runs/{run}/cancel", json={"reason": "storm"}).status_code in (200, 409)
        return run


def test_a_storm(house: House) -> None:
    """Three hundred runs of all kinds, sixteen clients: each ends, each step ran once, each output is right."""
    seed = int(os.environ.get("STORM_SEED") or random.randrange(10**6))
    print("seed", seed)
    with ThreadPoolExecutor(16) as pool:
        runs = list(pool.map(lambda number: life(house, seed, number), range(300)))
    ran: dict[str, dict[str, int]] = {}
    for run in runs:
        record = house.ended(run, seconds=30)
        ran[run] = dict(house.tenant.ran(run))
        allowed = {"saga": "compensated"}.get(record["workflowId"], "completed")
        assert record["status"] in (allowed, "cancelled"), record
        assert record["pendingWaitpoints"] == []
        seen = record["journal"]["stepResults"]
        if record["status"] != "cancelled":
            assert {name for name in ran[run] if not name.startswith(("undo", "drawn", "stream"))} == set(seen)
        # Without a crash nothing is run twice.
        assert all(times == 1 for times in ran[run].values()), (seed, run, ran[run])
    children = {line["run"] for line in house.tenant.lines() if line["run"].startswith("run_")}
    for child in children:
        assert house.ended(child, seconds=20)["status"] in TERMINAL
