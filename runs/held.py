"""A run as its driver holds it: the hot row, the documents and the journal, in memory between two commits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from runs import jsontext, sql
from runs.jsontext import ABSENT
from runs.models import JournalEntry

COLUMNS = (
    "id, tenant, workflow_id, workflow_version, environment, status, fence, lease_owner, wake_at, next_seq, "
    "invocations, metadata_cursor, compute_ms, timeout_ms, deadline, priority, attempts, claims, buffered, "
    "paused, concurrency_key, parent_id, parent_waitpoint, created_at, started_at, completed_at"
)


@dataclass(slots=True)
class Held:
    """See the module. Only the driver that claimed the run has one; ``fence`` proves it."""

    id: str
    tenant: str
    workflow_id: str
    workflow_version: str
    environment: str
    status: str
    fence: int
    lease_owner: str
    wake_at: int | None
    next_seq: int
    invocations: int
    metadata_cursor: int
    compute_ms: int
    timeout_ms: int | None
    deadline: int | None
    priority: int
    attempts: int
    claims: int
    buffered: int
    paused: bool
    concurrency_key: str | None
    parent_id: str | None
    parent_waitpoint: str | None
    created_at: int
    started_at: int
    completed_at: int | None
    input: Any = ABSENT
    meta: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    steps: dict[str, Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)
    compensations: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, Any] = field(default_factory=dict)
    #: What the run ended with.
    output: Any = ABSENT
    error: dict[str, Any] | None = None
    #: Whether the whole record stands here: no pieces of streams, nothing journaled by others, not paused.
    whole: bool = True
    #: Pending waitpoints as last seen: key → (wake_at, ordinal).
    pending: dict[str, tuple[int | None, int]] = field(default_factory=dict)
    #: Why its documents or its journal could not be read, if so.
    unreadable: str = ""

    def __post_init__(self) -> None:
        self.paused = bool(self.paused)

    def read(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take in what :func:`rows_of` found of this run.

        Raises:
            ValueError, TypeError: it cannot be read.
        """
        if not rows or rows[0][0] != 0:
            raise ValueError("its documents are missing")
        _, _, given, meta, metadata = rows[0]
        self.input = jsontext.value_or_absent(given)
        self.meta = jsontext.loads(meta)
        self.metadata = jsontext.loads(metadata)
        journal = [row[2:] for row in rows if row[0] == 1]
        self._take(journal)
        # Numbers that the journal has not are those of pieces of streams.
        self.whole = len(journal) == self.next_seq - 1
        self.pending = {
            key: (None if wake_at is None else int(wake_at), ordinal)
            for part, ordinal, key, wake_at, _ in rows
            if part == 2
        }

    def catch_up(self, cursor: Any, since: int) -> None:
        """Take in what others journaled from sequence ``since`` on: resolutions by injections and children."""
        cursor.execute(
            "SELECT kind, key, data FROM runs_journal WHERE run_id = %s AND seq >= %s ORDER BY seq", [self.id, since]
        )
        self._take(cursor.fetchall())
        for key in self.resolved:
            self.pending.pop(key, None)

    def _take(self, journal: Iterable[tuple[str, str, str]]) -> None:
        maps = {
            JournalEntry.STEP: self.steps,
            JournalEntry.RESOLVED: self.resolved,
            JournalEntry.COMPENSATION: self.compensations,
            JournalEntry.STREAM: self.streams,
        }
        for kind, key, data in journal:
            if kind in maps:
                maps[kind][key] = jsontext.loads(data)


def rows_of(cursor: Any, run_ids: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Documents, journals and pending waitpoints of runs in one round trip, within the transaction of their claim.

    A row is its part (0, 1, 2), its place in that, and three texts.
    """
    these = f"run_id IN ({sql.marks(run_ids)})"
    cursor.execute(
        f"SELECT run_id, 0, 0, input, meta, metadata_state FROM runs_data WHERE {these} "
        f"UNION ALL SELECT run_id, 1, seq, kind, key, data FROM runs_journal WHERE {these} "
        "UNION ALL SELECT run_id, 2, ordinal, key, CAST(wake_at AS varchar(20)), NULL FROM runs_waitpoint "
        f"WHERE {these} AND state = 'pending' ORDER BY 1, 2, 3",
        [*run_ids] * 3,
    )
    found: dict[str, list[tuple[Any, ...]]] = {run_id: [] for run_id in run_ids}
    for run_id, *row in cursor.fetchall():
        found[run_id].append(tuple(row))
    return found
