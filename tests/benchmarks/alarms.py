"""How late sleeping runs wake, what a million of them cost, and how long a dead driver's runs stand still.

    python -m tests.benchmarks.alarms [--quick] [--million] [--json FILE] [--only WORD,…] [--patience SECONDS]

Lateness is measured by the tenant: the clock at the step after the sleep, minus the clock at the step before it, minus
the sleep. The seed's adapter is hosted in Node with a timer for each alarm, in memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from tests import services
from tests.benchmarks import harness, peers, servers
from tests.benchmarks.harness import Row, number, progress, wanted

STEP_MS = 300


def late(name: str, url: str, token: str, count: int, kind: str) -> list[Row]:
    """The Node client that triggers, waits and asks."""
    return peers.measure_node("sleepers.mjs", name, url, token, str(count), "1500", kind)


def adapter(count: int, kind: str) -> list[Row]:
    """The seed's adapter."""
    with servers.node("tenant.mjs") as tenant, servers.node("adapter.mjs", tenant) as url:
        return late("seed's adapter in Node, in memory", url, "-", count, kind)


def embedded(count: int, kind: str) -> list[Row]:
    """``manage.py up``."""
    with servers.node("tenant.mjs") as tenant, servers.embedded(tenant) as server:
        time.sleep(2)
        return late("Zelavis up, SQLite", server.url, server.token, count, kind)


def production(count: int, kind: str) -> list[Row]:
    """PostgreSQL, Redis, a web process, a worker, beat."""
    with servers.node("tenant.mjs") as tenant, servers.production(tenant, web=1) as made:
        time.sleep(4)
        rows = late("Zelavis, PostgreSQL and Redis", made.urls[0], made.token, count, kind)
        assert made.beat is not None
        worker, beat = harness.resident_mb(made.workers[0].pid), harness.resident_mb(made.beat.pid)
        for row in rows:
            row.note = "; ".join(filter(None, [row.note, f"worker {worker:.0f} MB, beat {beat:.0f} MB"]))
        return rows


def table_of_sleepers(count: int, *, on_postgresql: bool) -> list[Row]:
    """A process of ours on an empty database."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZELAVIS_", "DJANGO_"))}
    with contextlib.ExitStack() as stack:
        variables = {"ZELAVIS_DATA_DIR": stack.enter_context(tempfile.TemporaryDirectory())}
        if on_postgresql:
            server = stack.enter_context(services.postgresql())
            variables["ZELAVIS_DATABASE_URL"] = server.database("sleepers")
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.alarms_ours", str(count)],
            cwd=harness.ROOT,
            env={**kept, **variables},
            capture_output=True,
            text=True,
            timeout=1800,
        )
    if done.returncode:
        raise peers.Missing((done.stderr.strip().splitlines() or ["no message"])[-1][:200])
    return harness.rows_of(done.stdout)


def call(made: servers.Production, path: str, body: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
    """One API request."""
    request = urllib.request.Request(
        made.urls[0] + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {made.token}", "Content-Type": "application/json", **headers},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def recovery(count: int) -> list[Row]:
    """kill -9 of the worker that drives, another one alive: until the first new step of each of its runs."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "steps"
        log.touch()
        with (
            servers.node("tenant.mjs", SLOW_LOG=str(log)) as tenant,
            servers.production(tenant, web=1, workers=2) as made,
        ):
            time.sleep(5)
            meta = {"tenantId": "default", "projectId": "default", "organizationId": "default"}
            body = {"workflowId": "bench-slow", "workflowVersion": "v1", "input": {"ms": STEP_MS}, "tenantMeta": meta}
            runs = [call(made, "/api/runs", body, Prefer="respond-async")["id"] for _ in range(count)]
            time.sleep(0.8)
            return _kill(made, runs, log)


def _kill(made: servers.Production, runs: list[str], log: Path) -> list[Row]:
    with psycopg.connect(made.database, autocommit=True) as connection:
        held: dict[int, list[str]] = {}
        rows = connection.execute("SELECT id, lease_owner FROM runs_run WHERE status = 'running'").fetchall()
        for run, owner in rows:
            if owner:
                held.setdefault(int(owner.split(":")[-2]), []).append(run)
        workers = {process.pid for process in made.workers}
        victims = {pid: ids for pid, ids in held.items() if pid in workers}
        if not victims:
            raise peers.Missing(f"no worker held a run ({len(rows)} running)")
        pid, lost = max(victims.items(), key=lambda item: len(item[1]))
        os.killpg(pid, signal.SIGKILL)
        killed = time.time()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            done = connection.execute("SELECT count(*) FROM runs_run WHERE status = 'completed'").fetchone()
            if done and done[0] == len(runs):
                break
            time.sleep(0.05)
        finished = time.time() - killed
        twice = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM runs_journal WHERE kind = 'step' GROUP BY run_id, key "
            "HAVING count(*) > 1) AS found"
        ).fetchone()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    waits = [
        min(
            (line["at"] / 1000 - killed for line in lines if line["run"] == run and line["at"] / 1000 > killed),
            default=60.0,
        )
        for run in lost
    ]
    again = len(lines) - len({(line["run"], line["step"]) for line in lines})
    note = (
        f"all {len(runs)} ended after {finished:.1f} s; {len(lost)} runs lost their driver; journaled twice: "
        f"{twice[0] if twice else '?'}; steps sent again: {again}; lease 10 s"
    )
    found = harness.summary(waits)
    return [Row("kill -9 of the driver: first new step by the other worker", **found, count=len(waits), note=note)]


def draw(rows: list[tuple[str, Row]]) -> str:
    """The table of the reference page."""
    headings = ("what", "by", "p50 ms", "p99 ms", "max ms", "count", "note")
    return harness.table(
        headings,
        [
            (name, row.name, number(row.p50), number(row.p99), number(row.maximum), str(row.count or "–"), row.note)
            for name, row in rows
        ],
    )


def main() -> None:
    chosen = harness.options(__doc__, million="also with 1,000,000 sleeping runs")
    count = 50 if chosen.quick else 300
    sizes = [10_000] if chosen.quick else [100_000, *([1_000_000] if chosen.million else [])]
    groups: list[tuple[str, Callable[[], list[Row]]]] = []
    for kind, what in (("sleep", f"{count} sleeps of 1.5 s"), ("instant", f"{count} runs due at one instant")):
        for measure in (adapter, embedded, production):
            groups.append((what, lambda measure=measure, kind=kind: measure(count, kind)))
    for size in sizes:
        for on_postgresql in (True, False):
            groups.append(
                (
                    f"{size:,} sleeping runs",
                    lambda size=size, on=on_postgresql: table_of_sleepers(size, on_postgresql=on),
                )
            )
    groups.append(("recovery", lambda: recovery(6)))
    rows: list[tuple[str, Row]] = []
    for name, measure in groups:
        if not wanted(name, chosen.only):
            continue
        busy = harness.wait_until_idle(chosen.patience)
        progress(f"{name} (others keep {busy:.2f} cores busy)")
        try:
            found = measure()
        except (peers.Missing, AssertionError, OSError, subprocess.TimeoutExpired) as missing:
            found = [Row("–", note=f"not measured: {missing}"[:200])]
        for row in found:
            noise = f"noisy: {busy:.1f} cores busy before" if busy > 0.5 else ""
            row.note = "; ".join(filter(None, [row.note, noise]))
        rows += [(name, row) for row in found]
    print(harness.machine())
    print(draw(rows))
    harness.save(chosen.json, [row for _, row in rows], groups=[name for name, _ in rows])


if __name__ == "__main__":
    main()
