"""Starting and ending runs, as verbs for Python and for the API.

``trigger`` and ``cancel`` may be called inside the caller's own ``transaction.atomic()``: the run is then visible,
and driven, once that commits.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, connection, transaction

from runs import clock, creation, endings, jsontext, leases, slots, sql, states
from runs.dispatchers.choose import choose
from runs.errors import AlreadyTerminal, RunConflict, WorkflowNotFound
from runs.held import Held
from runs.jsontext import ABSENT
from runs.protocol import Wait
from zelavis import doorbell, identifiers
from zelavis.errors import NotFound

DEFAULT_TENANT = "default"


@dataclass(frozen=True)
class Triggered:
    """The run of a trigger. ``held`` is set when it is new and this process is to drive it."""

    run_id: str
    created: bool
    held: Held | None = None


def default_tenant_meta(tenant: str = "") -> dict[str, str]:
    """``tenantMeta`` of a run whose caller gave none."""
    return {
        "tenantId": tenant or DEFAULT_TENANT,
        "projectId": DEFAULT_TENANT,
        "organizationId": DEFAULT_TENANT,
    }


def trigger(
    workflow_id: str,
    *,
    input: Any = ABSENT,  # noqa: A002  the seed's name
    workflow_version: str = "v1",
    environment: str = "development",
    tenant_meta: dict[str, Any] | None = None,
    run_id: str | None = None,
    idempotency_key: str | None = None,
    tags: Any = None,
    triggered_by: Any = None,
    delay_until: int | None = None,
    priority: int = 0,
    timeout_ms: int | None = None,
    deadline: int | None = None,
    concurrency: dict[str, Any] | None = None,
    fingerprint: str | None = None,
    claim: bool = False,
    now: int | None = None,
) -> Triggered:
    """Start a run, once: the same id, or the same key of a workflow, gives the run that is there.

    ``claim``: the caller drives it (:func:`runs.engine.drive` with ``held``); otherwise a worker does.
    ``fingerprint``: tells a repeated request from another one; made from the arguments when not given.

    Raises:
        WorkflowNotFound: no inline workflow has this name and no dispatcher is configured that could know it.
        RunConflict: the id or key was used with another request, or by another tenant.
    """
    moment = clock.now_ms() if now is None else now
    meta = tenant_meta or default_tenant_meta()
    tenant = str(meta.get("tenantId") or DEFAULT_TENANT)
    if choose(workflow_id, tenant) is None:
        raise WorkflowNotFound(f'workflow "{workflow_id[:200]}" is not known here and no tenant is configured')
    body_hash = fingerprint or jsontext.fingerprint(
        [workflow_id, workflow_version, input, environment, meta, tags, triggered_by, priority]
    )
    new = creation.NewRun(
        id=run_id or identifiers.make("run", now_ms=moment),
        tenant=tenant,
        workflow_id=workflow_id,
        workflow_version=workflow_version,
        environment=environment,
        input=input,
        tenant_meta=meta,
        triggered_by={"kind": "api"} if triggered_by is None else triggered_by,
        tags=[] if tags is None else tags,
        body_hash=body_hash,
        idempotency_key=idempotency_key,
        started_at=moment,
        created_at=moment,
        priority=priority,
        timeout_ms=timeout_ms,
        deadline=deadline,
        concurrency=concurrency,
    )
    if delay_until is not None and delay_until > moment:
        new.started_at = delay_until
        new.delay = Wait(
            f"trigger-delay:{new.id}",
            states.DATETIME,
            {"wakeAt": delay_until, "durationMs": delay_until - moment, "source": "trigger.delay"},
        )
    return start(new, claim=claim, own_id=run_id is not None, now=moment)


def start(new: creation.NewRun, *, claim: bool, own_id: bool, now: int) -> Triggered:
    """Insert a prepared run unless its id or key is taken by the same request.

    Raises:
        RunConflict: taken by another request.
    """
    sql.crash_point("before_commit:trigger")
    try:
        # What is one statement is a transaction by itself: opening and closing one would be two more round trips.
        alone = new.idempotency_key is None and new.concurrency is None and new.is_one_statement()
        around = nullcontext() if alone and not connection.in_atomic_block else transaction.atomic()
        with around, sql.cursor() as cursor:
            if new.idempotency_key is not None and not own_id:
                existing = _key(cursor, new, now)
                if existing is not None:
                    return existing
            if new.concurrency is not None and own_id:
                # The same request again needs no place: its run has had one, or waits for it.
                before = _found(new)
                if before is not None:
                    return before
            blocked = new.concurrency is not None and not _place(cursor, new, now)
            held = creation.insert(cursor, new, claim=claim, now=now, blocked=blocked)
    except IntegrityError:
        if not own_id:
            raise
        return _existing(new)
    sql.crash_point("after_commit:trigger")
    if held.lease_owner:
        leases.keep(held)
        return Triggered(new.id, created=True, held=held)
    if new.delay is None and not blocked:
        doorbell.ring("runs.tasks.drive", new.id)
    return Triggered(new.id, created=True)


def _existing(new: creation.NewRun) -> Triggered:
    found = _found(new)
    if found is None:
        raise RunConflict("The run was removed at this moment; ask again.")
    return found


def _found(new: creation.NewRun) -> Triggered | None:
    """The run that has this id, when it was asked for alike."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r.tenant, d.body_hash FROM runs_run r JOIN runs_data d ON d.run_id = r.id WHERE r.id = %s", [new.id]
        )
        row = cursor.fetchone()
    if row is None:
        return None
    if row[0] != new.tenant:
        raise RunConflict("This run id is taken.")
    return _same(new, new.id, row[1])


def _same(new: creation.NewRun, run_id: str, body_hash: str) -> Triggered:
    if body_hash and new.body_hash and body_hash != new.body_hash:
        raise RunConflict(
            "A run with this id or key exists and was asked for with another body.",
            runId=run_id,
            existingHash=body_hash,
            requestHash=new.body_hash,
        )
    return Triggered(run_id, created=False)


def _key(cursor: Any, new: creation.NewRun, now: int) -> Triggered | None:
    cursor.execute(
        "INSERT INTO runs_idempotency (tenant, workflow_id, key, run_id, body_hash, created_at) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (tenant, workflow_id, key) DO NOTHING",
        [new.tenant, new.workflow_id, new.idempotency_key, new.id, new.body_hash, now],
    )
    if cursor.rowcount == 1:
        return None
    cursor.execute(
        "SELECT run_id, body_hash FROM runs_idempotency WHERE tenant = %s AND workflow_id = %s AND key = %s",
        [new.tenant, new.workflow_id, new.idempotency_key],
    )
    run_id, body_hash = cursor.fetchone()
    return _same(new, run_id, body_hash)


def _place(cursor: Any, new: creation.NewRun, now: int) -> bool:
    """Take a place under the concurrency key; ``False``: the run has to wait for one."""
    rule = dict(new.concurrency or {})
    rule["key"] = slots.group(new.tenant, new.workflow_id, rule.get("key"))
    # Not in the caller's own: it may be used for the next run too.
    new.concurrency = rule
    limit = max(1, int(rule.get("limit", 1)))
    if slots.admit(cursor, rule["key"], new.id, limit=limit, now=now):
        return True
    holders = slots.holders(cursor, rule["key"])
    if rule.get("strategy") == "cancel-newest":
        raise RunConflict("WORKFLOW_CONCURRENCY_REJECTED", concurrencyKey=rule["key"], heldBy=holders)
    if rule.get("strategy") == "cancel-in-progress":
        for run_id in holders:
            endings.cancel(cursor, run_id, reason="cancelled by workflow concurrency policy", now=now)
        return slots.admit(cursor, rule["key"], new.id, limit=limit, now=now)
    return False


def cancel(run_id: str, *, reason: Any = ABSENT, tenant: str = "", actor: str = "", now: int | None = None) -> None:
    """End a run now, with its attached children. A driver in flight writes nothing more.

    Raises:
        NotFound: no such run for this tenant.
        AlreadyTerminal: it has ended.
    """
    moment = clock.now_ms() if now is None else now
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT parent_id, concurrency_key FROM runs_run WHERE id = %s", [run_id])
        row = cursor.fetchone()
        if row is not None and row[0] is not None:
            cursor.execute("SELECT id FROM runs_run WHERE id = %s" + sql.lock(), [row[0]])
        if row is not None:
            slots.lock(cursor, row[1])
        cursor.execute("SELECT tenant, status FROM runs_run WHERE id = %s" + sql.lock(), [run_id])
        row = cursor.fetchone()
        if row is None or (tenant and row[0] != tenant):
            raise NotFound("no run stored in this DO")
        if states.is_terminal(row[1]):
            raise AlreadyTerminal(f"run {run_id} is already terminal (status: {row[1]})")
        endings.cancel(cursor, run_id, reason=reason, now=moment, actor=actor)
