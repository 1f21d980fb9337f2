"""Our rows of ``alarms`` that need no server: looking at a table full of sleeping runs.

    python -m tests.benchmarks.alarms_ours SLEEPERS        (ZELAVIS_DATABASE_URL, ZELAVIS_DATA_DIR)

One real delayed run is triggered and copied in the database, rows, documents and waitpoint, each with a wake time of
its own in the future. Then: what beat asks at every tick, a claim that finds nothing, and a claim that finds one.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from tests.benchmarks.harness import Row, emit, latencies, progress, summary
from tests.benchmarks.runs_ours import set_up, workflows

HOUR_MS = 3_600_000


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


def main() -> None:
    count = int(sys.argv[1])
    set_up()
    workflows()
    from django.db import connection

    from runs import alarms, leases, lifecycle

    now = int(time.time() * 1000)
    first = lifecycle.trigger("bench-step", input={"n": 5}, delay_until=now + HOUR_MS, claim=True).run_id
    progress(f"{connection.vendor}: copying {count:,} sleeping runs")
    copy_sleepers(first, count)
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


if __name__ == "__main__":
    main()
