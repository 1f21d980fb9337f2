"""Clocks that jump, and several beats that look at the same alarms."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.chaos import sleepers
from tests.chaos.checks import check, check_journal, effects, wait_until_ended, wait_until_woken
from tests.chaos.cluster import Cluster
from tests.chaos.load import Load
from tests.chaos.report import Recovery

pytestmark = [pytest.mark.chaos, pytest.mark.postgresql, pytest.mark.redis]


def test_clocks_that_jump(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 11: the hosts of the workers and of beat jump an hour ahead or back under load: no alarm is early or late."""
    with Load(cluster, name, seed) as load:
        for jumps in ((3600, -3600, 0), (-3600, 3600, 3600), (3600, 3600, -3600)):
            time.sleep(1.0)
            for part, jump in zip(("worker-1", "worker-2", "beat-1"), jumps, strict=True):
                cluster.clock(part).write_text(str(jump))
            recovery.over()
            time.sleep(1.5)
    wait_until_ended(cluster.rows, [promise.run_id for promise in load.promises], seconds=30)
    verdict = check(cluster.rows, cluster.log, load.promises)
    assert verdict.repeated == 0, "a lease ended early"
    lines, slept = effects(cluster.log), 0
    for promise in load.promises:
        if not promise.given.get("sleep"):
            continue
        at = {line["step"]: line["at"] for line in lines[promise.run_id]}
        before = at[f"step-{promise.given['steps'] - 1}"]
        # The wake time is in whole milliseconds, and each host knows the database's clock only up to half the time that
        # asking for it took.
        assert at["after-sleep"] - before >= promise.given["sleep"] - 0.02, f"{promise.run_id} woke early"
        slept += 1
    assert slept > 5
    recovery.measure("11", "clocks of hosts jump by an hour", cluster.log, load.promises, verdict)


def test_three_beats(cluster: Cluster, recovery: Recovery, name: str, seed: int) -> None:
    """Row 12: three beats and two workers at 1,000 alarms of one instant: each is delivered once."""
    for beat in ("beat-2", "beat-3"):
        cluster.parts[beat].start()
        cluster.wait_part(beat)
    sleepers.insert(cluster.database_url, name, 1000, wake_in_ms=1500)
    time.sleep(1.5)
    recovery.over()
    over = time.time()
    ids = [f"{name}-{number}" for number in range(1, 1001)]
    wait_until_woken(cluster.rows, name, seconds=90)
    lines = effects(cluster.log)
    woken = Counter(line["run"] for run in ids for line in lines[run])
    assert woken == Counter(ids), "an alarm was delivered twice or not at all"
    for run_id in ids[::10]:
        check_journal(cluster.rows, run_id, lines[run_id])
    last = cluster.rows("SELECT max(completed_at) FROM runs_run WHERE id LIKE %s", f"{name}-%")[0][0] / 1000
    recovery.note("12", "three beats, 1,000 alarms at once", [], [last - over], faults=1, runs=1000)
