"""What a durable run costs, ours and others', in one run on one machine.

    python -m tests.benchmarks.runs [--quick] [--json FILE] [--only WORD,…] [--patience SECONDS]

Five steps that do nothing, inline, with 1 and 8 in flight on PostgreSQL (fsync on) and SQLite; then whole servers:
POST /api/runs with a tenant over HTTP and 16 requests in flight. "floor" is the database without any engine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests import services
from tests.benchmarks import harness, peers, servers
from tests.benchmarks.harness import Row, number, progress, wanted
from tests.benchmarks.peers import pgcounts

Group = tuple[str, Callable[[], list[Row]]]


def ours(kind: str, runs: int, threads: int, **variables: str) -> list[Row]:
    """A process of ours with nothing in its environment but what the row needs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZELAVIS_", "DJANGO_"))}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.runs_ours", kind, str(runs), str(threads)],
            cwd=harness.ROOT,
            env={**kept, "ZELAVIS_DATA_DIR": folder, **variables},
            capture_output=True,
            text=True,
            timeout=300,
        )
    if done.returncode:
        raise peers.Missing((done.stderr.strip().splitlines() or ["no message"])[-1][:160])
    return harness.rows_of(done.stdout)


def on_postgresql(server: services.PostgreSQL, runs: int, threads: int) -> list[Group]:
    """Every engine on a new database of one private cluster."""

    def peer(module: str) -> Callable[[], list[Row]]:
        return lambda: peers.measure(module, server.database("peer"), str(runs), str(threads))

    def own(kind: str) -> Callable[[], list[Row]]:
        return lambda: ours(kind, runs * 2, threads, ZELAVIS_DATABASE_URL=server.database("own"))

    where = f"PostgreSQL, {threads} in flight"
    return [
        (f"{where}: floor", peer("floor_runs")),
        (f"{where}: DBOS", peer("dbos_runs")),
        (f"{where}: Absurd", peer("absurd_runs")),
        (f"{where}: Zelavis, each step committed", own("step")),
        (f"{where}: Zelavis, steps committed together", own("invocation")),
    ]


def on_sqlite(folder: Path, runs: int, threads: int) -> list[Group]:
    """Every engine that can, on a new file."""

    def peer(module: str) -> Callable[[], list[Row]]:
        return lambda: peers.measure(module, str(folder / f"{module}-{threads}.db"), str(runs), str(threads))

    where = f"SQLite, {threads} in flight"
    return [
        (f"{where}: floor", peer("floor_runs")),
        (f"{where}: DBOS", peer("dbos_runs")),
        (f"{where}: Zelavis, each step committed", lambda: ours("step", runs * 2, threads)),
        (f"{where}: Zelavis, steps committed together", lambda: ours("invocation", runs * 2, threads)),
    ]


def load(name: str, urls: list[str], token: str, workflow: str, runs: int, in_flight: int) -> list[Row]:
    """The same Node client for every server."""
    return peers.measure_node("load.mjs", name, ",".join(urls), token, workflow, str(runs), str(in_flight))


def over_http(runs: int) -> list[Group]:
    """One step a run, the npm tenant in Node, the adapter beside our servers."""

    def adapter(in_flight: int) -> list[Row]:
        with servers.node("tenant.mjs") as tenant, servers.node("adapter.mjs", tenant) as url:
            return load("seed's adapter in Node, in memory", [url], "-", "bench-one", runs * 2, in_flight)

    def embedded(in_flight: int) -> list[Row]:
        with servers.node("tenant.mjs") as tenant, servers.embedded(tenant) as server:
            return load("Zelavis up, SQLite", [server.url], server.token, "bench-one", runs, in_flight)

    def production(in_flight: int, web: int) -> list[Row]:
        with servers.node("tenant.mjs") as tenant, servers.production(tenant, web=web) as made:
            name = f"Zelavis, {web} web process{'es' if web > 1 else ''}, PostgreSQL"
            return load(name, made.urls, made.token, "bench-one", runs, in_flight)

    groups: list[Group] = []
    for in_flight in (1, 16):
        where = f"HTTP, {in_flight} in flight"
        groups += [
            (f"{where}: adapter", lambda in_flight=in_flight: adapter(in_flight)),
            (f"{where}: up", lambda in_flight=in_flight: embedded(in_flight)),
            (f"{where}: production", lambda in_flight=in_flight: production(in_flight, 2)),
        ]
    return groups


def draw(rows: list[tuple[str, Row]]) -> str:
    """The table of the reference page."""
    headings = ("work", "engine", "in flight", "runs/s", "p50 ms", "p99 ms", "max ms", "runs", "note")
    return harness.table(
        headings,
        [
            (
                name.split(",")[0],
                row.name,
                row.fresh,
                number(row.per_second, 0),
                number(row.p50),
                number(row.p99),
                number(row.maximum),
                str(row.count or "–"),
                row.note,
            )
            for name, row in rows
        ],
    )


def main() -> None:
    chosen = harness.options(__doc__)
    runs = 100 if chosen.quick else 1000
    with tempfile.TemporaryDirectory() as folder, services.postgresql() as server:
        pgcounts.prepare(server.url)
        server.restart("fast")
        groups: list[Group] = []
        for threads in (1, 8):
            groups += on_postgresql(server, runs, threads)
        for threads in (1, 8):
            groups += on_sqlite(Path(folder), runs, threads)
        groups += over_http(runs * 3)
        rows: list[tuple[str, Row]] = []
        for name, measure in groups:
            if not wanted(name, chosen.only):
                continue
            busy = harness.wait_until_idle(chosen.patience)
            progress(f"{name} (others keep {busy:.2f} cores busy)")
            try:
                found = measure()
            except (peers.Missing, AssertionError, subprocess.TimeoutExpired) as missing:
                found = [Row(name.split(": ")[-1], note=f"not measured: {missing}"[:200])]
            for row in found:
                noise = f"noisy: {busy:.1f} cores busy before" if busy > 0.5 else ""
                row.note = "; ".join(filter(None, [row.note, noise]))
            rows += [(name, row) for row in found]
    print(harness.machine())
    print(draw(rows))
    harness.save(chosen.json, [row for _, row in rows], groups=[name for name, _ in rows])


if __name__ == "__main__":
    main()
