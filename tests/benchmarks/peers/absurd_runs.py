"""Absurd: each thread spawns a task of five steps and works one batch at once, so that no polling is in the figure.

Arguments: database URL, runs, runs in flight.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import absurdctl
import psycopg
from absurd_sdk import Absurd

from tests.benchmarks.harness import emit
from tests.benchmarks.peers import inflight, pgcounts


def main() -> None:
    where, count, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS absurd CASCADE")
        connection.execute(absurdctl.BUNDLED_SCHEMA_SQL)
    client = Absurd(where, queue_name="bench")
    client.create_queue("bench")
    finished: list[int] = []

    def make() -> Callable[[], Any]:
        own = Absurd(where, queue_name="bench")

        @own.register_task(name="five")
        def five(params: Any, context: Any) -> int:
            total = sum(context.step(f"step-{number}", lambda number=number: number) for number in range(5))
            finished.append(total)
            return int(total)

        def run() -> None:
            own.spawn("five", {})
            own.work_batch(batch_size=1)

        return run

    row = inflight.row("Absurd 0.5, spawn and work", make, threads=threads, count=count)
    assert len(finished) >= row.count, (len(finished), row.count)
    assert set(finished) == {10}
    if threads == 1:
        one = make()
        with pgcounts.Counting(where, runs=20) as counts:
            for _ in range(20):
                one()
        row.note = f"{counts.statements:.1f} statements, {counts.commits:.1f} write commits a run"
    emit(row)


if __name__ == "__main__":
    main()
