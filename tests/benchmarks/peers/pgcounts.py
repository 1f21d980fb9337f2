"""Statements and writing transactions of a PostgreSQL server, exact and at once; its statistics lag by seconds."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psycopg

_STATEMENTS = (
    "SELECT COALESCE(SUM(calls), 0) FROM pg_stat_statements WHERE query !~* "
    "'^(begin|commit|rollback|start transaction|savepoint|release|set |deallocate|discard)'"
)


@dataclass
class Counts:
    """Per run, after the ``with`` block: statements without transaction control, and write commits."""

    statements: float = 0
    commits: float = 0


class Counting:
    """``with Counting(url, runs=n) as counts: …`` around work that makes ``n`` runs."""

    def __init__(self, url: str, *, runs: int) -> None:
        self._url, self._runs, self.counts = url, runs, Counts()

    def __enter__(self) -> Counts:
        self._connection = psycopg.connect(self._url, autocommit=True)
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self._connection.execute("SELECT pg_stat_statements_reset()")
        self._first = self._transaction()
        return self.counts

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        statements = self._number(_STATEMENTS) - 2  # the two of our own
        self.counts.statements = statements / self._runs
        # Each number asked for is itself a transaction.
        self.counts.commits = (self._transaction() - self._first - 1) / self._runs
        self._connection.close()

    def _transaction(self) -> float:
        return self._number("SELECT pg_current_xact_id()::text::numeric")

    def _number(self, query: str) -> float:
        row: Any = self._connection.execute(query).fetchone()
        return float(row[0])


def prepare(url: str) -> None:
    """Turn counting on; the server must be restarted afterwards."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
