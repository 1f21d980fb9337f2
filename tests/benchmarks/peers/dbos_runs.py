"""DBOS: a workflow of five steps called directly. Arguments: database URL or SQLite path, runs, runs in flight."""

from __future__ import annotations

import logging
import sys

if not sys.argv[1].startswith("postgresql:"):
    # Debian's SQLite is too old for DBOS.
    import pysqlite3

    sys.modules["sqlite3"] = pysqlite3

from dbos import DBOS

from tests.benchmarks.harness import emit
from tests.benchmarks.peers import inflight, pgcounts


def main() -> None:
    where, count, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    url = where if where.startswith("postgresql:") else f"sqlite:///{where}"
    DBOS(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})
    logging.disable(logging.WARNING)

    @DBOS.step()
    def step(number: int) -> int:
        return number

    @DBOS.workflow()
    def five() -> int:
        return sum(step(number) for number in range(5))

    DBOS.launch()
    row = inflight.row("DBOS 3.4, direct call", lambda: five, threads=threads, count=count)
    if threads == 1 and url.startswith("postgresql:"):
        with pgcounts.Counting(where, runs=20) as counts:
            for _ in range(20):
                five()
        row.note = f"{counts.statements:.1f} statements, {counts.commits:.1f} write commits a run"
    emit(row)
    DBOS.destroy()


if __name__ == "__main__":
    main()
