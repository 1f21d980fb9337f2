"""The rows of a new run: from a trigger, an event, a schedule, a parent, or a resume. One place inserts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from runs import jsontext, leases, sql, states, waitpoints
from runs.held import COLUMNS, Held
from runs.jsontext import ABSENT
from runs.protocol import Wait


@dataclass(kw_only=True)
class NewRun:
    """What is to be inserted. ``journal``: replayed entries it starts with, ``(kind, key, data)``."""

    id: str
    tenant: str
    workflow_id: str
    workflow_version: str
    environment: str
    input: Any = ABSENT
    tenant_meta: dict[str, Any]
    triggered_by: Any
    tags: Any
    body_hash: str = ""
    idempotency_key: str | None = None
    started_at: int
    created_at: int
    #: The synthetic sleep of a delayed trigger.
    delay: Wait | None = None
    priority: int = 0
    timeout_ms: int | None = None
    deadline: int | None = None
    concurrency: dict[str, Any] | None = None
    parent_id: str | None = None
    parent_waitpoint: str | None = None
    journal: Sequence[tuple[str, str, Any]] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    metadata_cursor: int = 0
    #: Where inherited entries came from.
    provenance: dict[str, Any] | None = None

    def meta(self) -> dict[str, Any]:
        """The document of what never changes."""
        result = {"tenantMeta": self.tenant_meta, "triggeredBy": self.triggered_by, "tags": self.tags}
        optional = {
            "idempotencyKey": self.idempotency_key,
            "concurrency": self.concurrency,
            "provenance": self.provenance,
            "priority": self.priority or None,
        }
        return result | {name: value for name, value in optional.items() if value is not None}

    def tag_values(self) -> list[str]:
        """The tags that a run can be found by."""
        names = [tag for tag in self.tags if isinstance(tag, str)] if isinstance(self.tags, list) else []
        return [tag[:200] for tag in dict.fromkeys(names)]

    def is_one_statement(self) -> bool:
        """Whether :func:`insert` sends one statement only, so that no transaction has to be opened around it."""
        plain = self.delay is None and not self.journal and not self.tag_values()
        return plain and connection.vendor == "postgresql"


def insert(cursor: Any, new: NewRun, *, claim: bool, now: int, blocked: bool = False) -> Held:
    """Insert a run, already claimed by this process or ready for any worker.

    ``blocked``: it waits for a place under its concurrency key, and only its deadline wakes it until one is free.
    """
    status, wake_at, invocations = states.RUNNING, now, 0
    if new.delay is not None:
        status, wake_at, claim = states.WAITING, int(new.delay.meta["wakeAt"]), False
        if new.deadline is not None:
            wake_at = min(wake_at, new.deadline)
    elif claim and not blocked:
        wake_at, invocations = now + leases.lease_ms(), 1
    held = Held(
        id=new.id,
        tenant=new.tenant,
        workflow_id=new.workflow_id,
        workflow_version=new.workflow_version,
        environment=new.environment,
        status=status,
        fence=1,
        lease_owner=leases.owner() if invocations else "",
        # Without a place it is looked at for its deadline only.
        wake_at=new.deadline if blocked else wake_at,
        next_seq=1 + len(new.journal),
        invocations=invocations,
        metadata_cursor=new.metadata_cursor,
        compute_ms=0,
        timeout_ms=new.timeout_ms,
        deadline=new.deadline,
        priority=new.priority,
        attempts=0,
        claims=1 if invocations else 0,
        buffered=0,
        paused=False,
        concurrency_key=None if new.concurrency is None else new.concurrency["key"],
        parent_id=new.parent_id,
        parent_waitpoint=new.parent_waitpoint,
        created_at=new.created_at,
        started_at=new.started_at,
        completed_at=None,
    )
    held.input, held.meta, held.metadata = new.input, new.meta(), dict(new.metadata)
    _write(cursor, held, new.body_hash)
    if new.journal:
        held.whole = False
        waitpoints.write_journal(
            cursor, waitpoints.journal_rows(held.id, new.journal, first=1, fence=held.fence, now=now)
        )
        for kind, key, data in new.journal:
            held.steps.update({key: data} if kind == "step" else {})
            held.resolved.update({key: data} if kind == "resolved" else {})
    if new.delay is not None:
        waitpoints.register(cursor, held, [new.delay], now=now, children={})
    tags = [(tag, held.id) for tag in new.tag_values()]
    sql.insert(cursor, "runs_tag", "value, run_id", tags, conflict="ON CONFLICT DO NOTHING")
    return held


_NAMES = [name.strip() for name in COLUMNS.split(",")]
_DATA_COLUMNS = "run_id, input, meta, metadata_state, body_hash"
_ROW = f"INSERT INTO runs_run ({COLUMNS}) VALUES ({sql.marks(_NAMES)})"
_DOCUMENTS = f"INSERT INTO runs_data ({_DATA_COLUMNS}) VALUES (%s, %s, %s, %s, %s)"


def _write(cursor: Any, held: Held, body_hash: str) -> None:
    row = [getattr(held, name) for name in _NAMES]
    meta, metadata = jsontext.dumps(held.meta), jsontext.dumps(held.metadata)
    documents = [held.id, jsontext.text_or_none(held.input), meta, metadata, body_hash]
    if connection.vendor == "postgresql":
        cursor.execute(f"WITH run AS ({_ROW}) {_DOCUMENTS}", [*row, *documents])
    else:
        cursor.execute(_ROW, row)
        cursor.execute(_DOCUMENTS, documents)
