"""An event from outside: it starts a run for each filter of the manifest that it fits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import F

from runs import clock, jsontext, lifecycle, slots
from runs.jsontext import ABSENT
from runs.manifests import broadcasting, canonical, mappers, predicates, registering
from runs.models import EventFilter, EventReceipt, Manifest
from zelavis import identifiers
from zelavis.errors import ZelavisError

#: Longest id that a run can have.
_LONGEST_RUN_ID = 400


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """What came of an event."""

    event_id: str
    #: One entry per filter that it concerned, as the seed answers them.
    matches: list[dict[str, Any]]
    #: No manifest is registered, so nothing could be started.
    unregistered: bool = False
    #: Runs whose wait was resolved so far; ``None``: that was not asked for.
    resolved: int | None = None
    #: A worker goes on with further waiting runs.
    pending: bool = False

    @property
    def all_failed(self) -> bool:
        """Filters matched, and none of them could start its run."""
        states = {match["status"] for match in self.matches}
        return "error" in states and "queued" not in states


def ingest(
    envelope: Mapping[str, Any],
    *,
    environment: str,
    tenant: str = "",
    idempotency_key: str | None = None,
    resolve_waiting: bool = False,
    actor: str = "",
    now: int | None = None,
) -> Ingested:
    """Take an event ``{name, data?, metadata?, emittedAt}``; the same event again starts and resolves nothing twice.

    ``resolve_waiting``: also resolve one EVENT waitpoint of this type in every run of the environment that waits for
    it; what is not done in a bounded time is left to a worker.
    """
    moment = clock.now_ms() if now is None else now
    data = envelope.get("data", ABSENT)
    event_id = canonical.event_id(envelope["name"], envelope["emittedAt"], data, envelope.get("metadata"))
    with transaction.atomic():
        manifest = registering.current(environment, tenant=tenant)
        rules = _filters(manifest, envelope["name"])
        _lock_places(rules, tenant)
        matches = [
            entry
            for entry in (
                _match(rule, manifest, envelope, event_id, idempotency_key or event_id, moment) for rule in rules
            )
            if entry is not None
        ]
        receipt = _receipt(
            envelope,
            event_id=event_id,
            tenant=tenant,
            environment=environment,
            matches=matches,
            resolve_waiting=resolve_waiting,
            now=moment,
        )
    resolved, pending = broadcasting.carry_on(receipt.id, actor=actor) if resolve_waiting else (None, False)
    return Ingested(
        event_id=event_id,
        matches=matches,
        unregistered=manifest is None,
        resolved=resolved,
        pending=pending,
    )


def run_id(workflow_id: str, key: str) -> str:
    """``idem-{workflow}-{key}``: whoever triggers with this key gets the same run.

    A slash, which a run's path could not hold, is written ``%2F``; a key too long for an id is replaced by its hash.
    """
    made = f"idem-{workflow_id}-{key}".replace("/", "%2F")
    if len(made) <= _LONGEST_RUN_ID:
        return made
    return f"idem-{workflow_id}-{hashlib.sha256(key.encode()).hexdigest()}".replace("/", "%2F")


def _filters(manifest: Manifest | None, name: str) -> list[EventFilter]:
    return [] if manifest is None else list(EventFilter.objects.filter(manifest=manifest, event_type=name))


def _lock_places(rules: list[EventFilter], tenant: str) -> None:
    """Events that start runs under several concurrency keys take their locks in one order."""
    if len(rules) < 2:
        return
    meta = lifecycle.default_tenant_meta(tenant)
    declared = [(rule.workflow_id, jsontext.loads(rule.rule)["options"].get("concurrency")) for rule in rules]
    keys = {slots.group(meta["tenantId"], workflow, found.get("key")) for workflow, found in declared if found}
    with connection.cursor() as cursor:
        for key in sorted(keys):
            slots.lock(cursor, key)


def _match(
    rule: EventFilter,
    manifest: Manifest | None,
    envelope: Mapping[str, Any],
    event_id: str,
    key: str,
    now: int,
) -> dict[str, Any] | None:
    """The entry of one filter; ``None`` when the event does not fit it."""
    declared = jsontext.loads(rule.rule)
    try:
        if declared.get("where") is not None and not predicates.evaluate(declared["where"], envelope):
            return None
    except predicates.PredicateError as error:
        return _skipped(rule, "where_eval_error", error)
    try:
        given = mappers.project(declared.get("input", ABSENT), envelope)
    except mappers.MapperError as error:
        return _skipped(rule, "input_projection_error", error)
    unique = f"{rule.filter_id}:{key}"
    options = declared["options"]
    tenant = "" if manifest is None else manifest.tenant
    try:
        triggered = lifecycle.trigger(
            rule.workflow_id,
            input=given,
            environment="development" if manifest is None else manifest.environment,
            tenant_meta=lifecycle.default_tenant_meta(tenant),
            run_id=run_id(rule.workflow_id, unique),
            idempotency_key=unique,
            triggered_by={
                "kind": "event",
                "eventId": event_id,
                "eventType": envelope["name"],
                "filterId": rule.filter_id,
            },
            timeout_ms=options.get("timeoutMs"),
            concurrency=options.get("concurrency"),
            # The same event is the same request, whatever has become of the manifest meanwhile.
            fingerprint=jsontext.fingerprint([rule.workflow_id, given]),
            now=now,
        )
    except ZelavisError as error:
        reason = {"reason": error.message, "code": error.code}
        return {
            "filterId": rule.filter_id,
            "targetWorkflowId": rule.workflow_id,
            "status": "error",
            **reason,
        }
    return {
        "filterId": rule.filter_id,
        "targetWorkflowId": rule.workflow_id,
        "runId": triggered.run_id,
        "idempotencyKey": unique,
        "status": "queued",
    }


def _skipped(rule: EventFilter, reason: str, error: Exception) -> dict[str, Any]:
    return {"filterId": rule.filter_id, "status": "skipped", "reason": reason, "details": str(error)}


def _receipt(
    envelope: Mapping[str, Any],
    *,
    event_id: str,
    tenant: str,
    environment: str,
    matches: list[dict[str, Any]],
    resolve_waiting: bool,
    now: int,
) -> EventReceipt:
    receipt, created = EventReceipt.objects.get_or_create(
        tenant=tenant,
        environment=environment,
        event_id=event_id,
        defaults={
            "id": identifiers.make("evr", now_ms=now),
            "name": envelope["name"],
            "matches": jsontext.dumps(matches),
            "created_at": now,
        },
    )
    changes: dict[str, Any] = {}
    if not created:
        changes = {"deliveries": F("deliveries") + 1, "matches": jsontext.dumps(matches)}
    if resolve_waiting:
        # A run whose wait this event resolved before is passed over by the inbox, under its lock.
        payload = jsontext.text_or_none(envelope.get("data", ABSENT))
        changes |= {"payload": payload, "cursor": "", "wake_at": now}
    if changes:
        EventReceipt.objects.filter(pk=receipt.pk).update(**changes)
    return receipt
