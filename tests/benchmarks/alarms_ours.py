"""Our rows of ``alarms`` that need no server: looking at a table full of sleeping runs.

    python -m tests.benchmarks.alarms_ours SLEEPERS        (ZELAVIS_DATABASE_URL, ZELAVIS_DATA_DIR)

One real delayed run is triggered and copied in the database, rows, documents and waitpoint, each with a wake time of
its own in the future. Then: what beat asks at every tick, a claim that finds nothing, a claim that finds one, and the
draining of a burst: runs whose body does nothing, all due at one moment, driven by four threads of one worker.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.harness import Row, emit, latencies, progress, resident_mb, summary
from tests.benchmarks.runs_ours import set_up, workflows

HOUR_MS = 3_600_000
BURST = 10_000
THREADS = 4


def copy_sleepers(first: str, count: int) -> None:
    """Copy the delayed run ``first`` into ``count`` others that wake a millisecond apart."""
    from django.apps import apps
    from django.db import connection

    numbers = (
        f"generate_series(1, {count}) AS numbers(n)"
        if connection.vendor == "postgresql"
        else "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c "
        f"WHERE n < {count}) SELECT n FROM c) AS numbers"
    )
    with connection.cursor() as cursor:
        for model, key in (("Run", "id"), ("RunData", "run_id"), ("Waitpoint", "run_id")):
            meta: Any = apps.get_model("runs", model)._meta
            columns = [field.column for field in meta.concrete_fields]
            changed = {key: f"{key} || '-' || n", "wake_at": "wake_at + n"}
            values = ", ".join(changed.get(column, column) for column in columns)
            cursor.execute(
                f"INSERT INTO {meta.db_table} ({', '.join(columns)}) SELECT {values} FROM {meta.db_table}, {numbers} "
                f"WHERE {key} = %s",
                [first],
            )
        cursor.execute("ANALYZE")


def database_mb() -> float:
    """Size of the whole database on disk."""
    from django.db import connection

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0]) / 2**20
    name = str(connection.settings_dict["NAME"])
    return sum(path.stat().st_size for path in (Path(name), Path(name + "-wal")) if path.exists()) / 2**20


def drained(burst: int) -> float:
    """Seconds until ``burst`` runs that are due at one moment have ended."""
    from django.db import close_old_connections, connection

    from runs import alarms, clock, lifecycle

    first = lifecycle.trigger("bench-nothing", delay_until=clock.now_ms() + HOUR_MS, claim=True).run_id
    copy_sleepers(first, burst - 1)
    with connection.cursor() as cursor:
        for table, key in (("runs_waitpoint", "run_id"), ("runs_run", "id")):
            cursor.execute(f"UPDATE {table} SET wake_at = %s WHERE {key} LIKE %s", [clock.now_ms(), f"{first}%"])

    def work() -> None:
        try:
            alarms.work(seconds=600)
        finally:
            close_old_connections()
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    assert alarms.overdue() == 0
    return took


def main() -> None:
    count = int(sys.argv[1])
    set_up()
    workflows()
    from django.db import connection

    from runs import alarms, leases, lifecycle

    now = int(time.time() * 1000)
    first = lifecycle.trigger("bench-step", input={"n": 5}, delay_until=now + HOUR_MS, claim=True).run_id
    progress(f"{connection.vendor}: copying {count:,} sleeping runs")
    empty, began = database_mb(), time.perf_counter()
    copy_sleepers(first, count)
    progress(f"copied in {time.perf_counter() - began:.1f} s")
    size, resident = database_mb() - empty, resident_mb()
    where = f"{connection.vendor}, {count:,} sleeping"

    def row(name: str, call: Any, calls: int) -> None:
        found = latencies(call, count=calls, warm=20)
        emit(Row(f"{name} ({where})", **summary(found), count=len(found), per_second=len(found) / sum(found)))

    row("idle tick: when is the next due", alarms.seconds_until_next, 500)

    def nothing() -> None:
        assert leases.claim_next() is None

    row("claim that finds nothing", nothing, 500)
    # The clock of the claim is moved instead of the rows: the earliest 220 are due.
    due = now + HOUR_MS + 250

    def something() -> None:
        held = leases.claim_next(now=due)
        assert held is not None
        leases.let_go(held)

    row("claim of a sleeper that is due", something, 200)
    burst = min(BURST, count // 10)
    took = drained(burst)
    note = (
        f"{burst / took:,.0f} runs/s, the last one {took:.1f} s late; sleepers take {size:,.0f} MB on disk; "
        f"this process {resident:.0f} MB before, {resident_mb():.0f} MB after"
    )
    emit(
        Row(
            f"{burst:,} runs due at once, {THREADS} threads of one process ({where})",
            maximum=took * 1000,
            count=burst,
            per_second=burst / took,
            note=note,
        )
    )


if __name__ == "__main__":
    main()
