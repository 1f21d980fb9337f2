"""A run as its driver holds it: the hot row, the documents and the journal, in memory between two commits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runs import jsontext
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

    def load(self, cursor: Any) -> None:
        """Read documents, journal and pending waitpoints, within the transaction of the claim."""
        cursor.execute("SELECT input, meta, metadata_state FROM runs_data WHERE run_id = %s", [self.id])
        given, meta, metadata = cursor.fetchone()
        self.input = jsontext.value_or_absent(given)
        self.meta = jsontext.loads(meta)
        self.metadata = jsontext.loads(metadata)
        if self.next_seq > 1:
            # Numbers that the journal has not are those of pieces of streams.
            self.whole = self._journal(cursor, 0) == self.next_seq - 1
        cursor.execute(
            "SELECT key, wake_at, ordinal FROM runs_waitpoint WHERE run_id = %s AND state = 'pending' ORDER BY ordinal",
            [self.id],
        )
        self.pending = {key: (wake_at, ordinal) for key, wake_at, ordinal in cursor.fetchall()}

    def catch_up(self, cursor: Any, since: int) -> None:
        """Take in what others journaled from sequence ``since`` on: resolutions by injections and children."""
        self._journal(cursor, since)
        for key in self.resolved:
            self.pending.pop(key, None)

    def _journal(self, cursor: Any, since: int) -> int:
        cursor.execute(
            "SELECT kind, key, data FROM runs_journal WHERE run_id = %s AND seq >= %s ORDER BY seq", [self.id, since]
        )
        maps = {
            JournalEntry.STEP: self.steps,
            JournalEntry.RESOLVED: self.resolved,
            JournalEntry.COMPENSATION: self.compensations,
            JournalEntry.STREAM: self.streams,
        }
        rows = cursor.fetchall()
        for kind, key, data in rows:
            if kind in maps:
                maps[kind][key] = jsontext.loads(data)
        return len(rows)
