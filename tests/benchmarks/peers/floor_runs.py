"""The database floor: the statements a durable 5-step run cannot do without, and nothing else.

Seven commits: insert the run, five fenced steps (one statement each), settle. Arguments: database URL or SQLite
path, runs, runs in flight. On SQLite each commit is BEGIN IMMEDIATE, two statements, COMMIT, under one lock for the
process, synchronous NORMAL as the embedded server has it.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any

import psycopg

from tests.benchmarks.harness import emit
from tests.benchmarks.peers import inflight, pgcounts

TABLES = (
    "CREATE TABLE run (id text PRIMARY KEY, status text, fence int, next_seq int, input text, output text)",
    "CREATE TABLE journal (run_id text, seq int, key text, data text, PRIMARY KEY (run_id, seq))",
)
STEP = (
    "WITH held AS (UPDATE run SET next_seq = next_seq + 1 WHERE id = %s AND fence = 1 AND status = 'running' "
    'RETURNING next_seq - 1 AS seq) INSERT INTO journal SELECT %s, held.seq, %s, \'{"status":"ok"}\' FROM held'
)
_lock = threading.Lock()


def postgresql(url: str) -> Callable[[], None]:
    """One connection, autocommit, statements prepared by psycopg after a few uses."""
    connection = psycopg.connect(url, autocommit=True)

    def run() -> None:
        key = uuid.uuid4().hex
        connection.execute("INSERT INTO run VALUES (%s, 'running', 1, 0, '{}', NULL)", [key])
        for step in range(5):
            connection.execute(STEP, [key, key, f"step-{step}"])
        connection.execute("UPDATE run SET status = 'completed', output = '5' WHERE id = %s AND fence = 1", [key])

    return run


def sqlite(path: str) -> Callable[[], None]:
    """One connection for each thread, one writer at a time."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")

    def commit(*statements: tuple[str, list[Any]]) -> None:
        with _lock:
            connection.execute("BEGIN IMMEDIATE")
            for statement, values in statements:
                connection.execute(statement, values)
            connection.execute("COMMIT")

    def run() -> None:
        key = uuid.uuid4().hex
        commit(("INSERT INTO run VALUES (?, 'running', 1, 0, '{}', NULL)", [key]))
        for step in range(5):
            commit(
                ("UPDATE run SET next_seq = next_seq + 1 WHERE id = ? AND fence = 1 AND status = 'running'", [key]),
                ('INSERT INTO journal VALUES (?, ?, ?, \'{"status":"ok"}\')', [key, step, f"step-{step}"]),
            )
        commit(("UPDATE run SET status = 'completed', output = '5' WHERE id = ? AND fence = 1", [key]))

    return run


def main() -> None:
    where, count, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if where.startswith("postgresql:"):
        with psycopg.connect(where, autocommit=True) as connection:
            for table in ("run", "journal"):
                connection.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in TABLES:
                connection.execute(statement)
        row = inflight.row("floor: 7 commits by psycopg", lambda: postgresql(where), threads=threads, count=count)
        if threads == 1:
            one = postgresql(where)
            with pgcounts.Counting(where, runs=20) as counts:
                for _ in range(20):
                    one()
            row.note = f"{counts.statements:.1f} statements, {counts.commits:.1f} write commits a run"
    else:
        made = sqlite3.connect(where)
        for statement in TABLES:
            made.execute(statement.replace("TABLE", "TABLE IF NOT EXISTS"))
        made.close()
        row = inflight.row("floor: 7 commits by sqlite3", lambda: sqlite(where), threads=threads, count=count)
    emit(row)


if __name__ == "__main__":
    main()
