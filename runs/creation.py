"""The rows of a new run: from a trigger, an event, a schedule, a parent, or a resume. One place inserts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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


def insert(cursor: Any, new: NewRun, *, claim: bool, now: int, blocked: bool = False) -> Held:
    """Insert a run, already claimed by this process or ready for any worker.

    ``blocked``: it waits for a place under its concurrency key, and nothing wakes it until one is free.
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
        wake_at=None if blocked else wake_at,
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
    values = [getattr(held, name) for name in _NAMES]
    sql.insert(cursor, "runs_run", COLUMNS, [values])
    held.input, held.meta, held.metadata = new.input, new.meta(), dict(new.metadata)
    sql.insert(
        cursor,
        "runs_data",
        "run_id, input, meta, metadata_state, body_hash",
        [
            (
                held.id,
                jsontext.text_or_none(new.input),
                jsontext.dumps(held.meta),
                jsontext.dumps(held.metadata),
                new.body_hash,
            )
        ],
    )
    if new.journal:
        waitpoints.write_journal(
            cursor, waitpoints.journal_rows(held.id, new.journal, first=1, fence=held.fence, now=now)
        )
        for kind, key, data in new.journal:
            held.steps.update({key: data} if kind == "step" else {})
            held.resolved.update({key: data} if kind == "resolved" else {})
    if new.delay is not None:
        waitpoints.register(cursor, held, [new.delay], now=now, children={})
    names = [tag for tag in new.tags if isinstance(tag, str)] if isinstance(new.tags, list) else []
    sql.insert(
        cursor,
        "runs_tag",
        "value, run_id",
        [(tag[:200], held.id) for tag in dict.fromkeys(names)],
        conflict="ON CONFLICT DO NOTHING",
    )
    return held


_NAMES = [name.strip() for name in COLUMNS.split(",")]
