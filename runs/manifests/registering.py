"""Registering a manifest: from then on its filters and schedules are the ones in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from runs import clock, jsontext
from runs.manifests import durations, schedules
from runs.models import EventFilter, Manifest, Schedule
from zelavis import audit

#: Longest names that rows hold.
LONGEST = 200


def register(
    document: dict[str, Any], *, environment: str, tenant: str = "", actor: str, now: int | None = None
) -> Manifest:
    """Make ``document`` the current manifest of an environment; the same one again changes nothing.

    Parts that cannot be used are left out and named in ``warnings``, as the seed takes any manifest; a schedule that
    cannot be used is kept with its error and never fires. ``document["versionId"]`` is a text of 1 to 200 characters.
    """
    moment = clock.now_ms() if now is None else now
    try:
        return _register(document, environment=environment, tenant=tenant, actor=actor, now=moment)
    except IntegrityError:
        # Two processes that start at once register the first manifest; now there is one to replace.
        return _register(document, environment=environment, tenant=tenant, actor=actor, now=moment)


def _register(document: dict[str, Any], *, environment: str, tenant: str, actor: str, now: int) -> Manifest:
    text, version = jsontext.dumps(document), str(document["versionId"])
    with transaction.atomic():
        before = (
            Manifest.objects.select_for_update().filter(tenant=tenant, environment=environment, current=True).first()
        )
        if before is not None and (before.version_id, before.document) == (version, text):
            Manifest.objects.filter(pk=before.pk).update(registered_at=now)
            return before
        Manifest.objects.filter(tenant=tenant, environment=environment, current=True).update(current=False)
        manifest, _ = Manifest.objects.update_or_create(
            tenant=tenant,
            environment=environment,
            version_id=version,
            defaults={"document": text, "current": True, "registered_at": now},
        )
        workflows = _workflows(document)
        warnings = _replace_filters(manifest, document, workflows)
        warnings += _replace_schedules(manifest, workflows, now)
        manifest.warnings = jsontext.dumps(warnings)
        manifest.save(update_fields=["warnings"])
        audit.record(
            "manifest.register",
            target=f"manifest:{environment}",
            actor=actor,
            changes={"versionId": [before.version_id if before else None, version]},
        )
    return manifest


def current(environment: str, *, tenant: str = "") -> Manifest | None:
    """The manifest in force."""
    return Manifest.objects.filter(tenant=tenant, environment=environment, current=True).first()


def options(workflow: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says of every run of a workflow: ``{timeoutMs?, concurrency?}``, as far as it can be used."""
    result: dict[str, Any] = {}
    timeout, rule = workflow.get("timeoutMs"), workflow.get("concurrency")
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and 1 <= timeout <= durations.LONGEST:
        result["timeoutMs"] = int(timeout)
    if isinstance(rule, Mapping):
        key, limit = rule.get("key"), rule.get("limit")
        result["concurrency"] = {
            "key": key[:100] if isinstance(key, str) and key else None,
            "limit": max(1, int(limit)) if isinstance(limit, int) and not isinstance(limit, bool) else 1,
            "strategy": str(rule.get("strategy") or "queue"),
        }
    return result


def _workflows(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    listed = document.get("workflows")
    return {
        item["id"]: item
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, Mapping) and _is_name(item.get("id"))
    }


def _replace_filters(
    manifest: Manifest, document: Mapping[str, Any], workflows: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Only the current manifest has rows of filters: those of all others go."""
    EventFilter.objects.filter(manifest__tenant=manifest.tenant, manifest__environment=manifest.environment).delete()
    listed = document.get("eventFilters")
    rows, warnings = [], []
    for ordinal, item in enumerate(listed if isinstance(listed, list) else []):
        names = ("id", "eventType", "targetWorkflowId")
        if not isinstance(item, Mapping) or not all(_is_name(item.get(name)) for name in names):
            warnings.append(f"eventFilters[{ordinal}]: id, eventType and targetWorkflowId must be texts")
            continue
        rule = {name: item[name] for name in ("where", "input") if name in item}
        rule["options"] = options(workflows.get(item["targetWorkflowId"], {}))
        rows.append(
            EventFilter(
                manifest=manifest,
                ordinal=ordinal,
                filter_id=item["id"],
                event_type=item["eventType"],
                workflow_id=item["targetWorkflowId"],
                rule=jsontext.dumps(rule),
            )
        )
    EventFilter.objects.bulk_create(rows)
    return warnings


def _replace_schedules(manifest: Manifest, workflows: Mapping[str, Mapping[str, Any]], now: int) -> list[str]:
    """Schedules keep their state over versions as long as workflow and label stay."""
    scope = {"tenant": manifest.tenant, "environment": manifest.environment}
    known = {(row.workflow_id, row.label): row for row in Schedule.objects.filter(**scope)}
    kept, warnings = set(), []
    for workflow_id, workflow in workflows.items():
        listed = workflow.get("schedules")
        for index, declared in enumerate(listed if isinstance(listed, list) else []):
            label = _label(declared, index)
            key = (workflow_id, label)
            if key in kept:
                warnings.append(f"{workflow_id}: two schedules are called {label!r}; the second is left out")
                continue
            kept.add(key)
            row = known.get(key) or Schedule(**scope, workflow_id=workflow_id, label=label)
            row.version_id = manifest.version_id
            row.schedule_id = f"{manifest.version_id}:{workflow_id}:{label}"
            row.options = jsontext.dumps(options(workflow))
            warning = _declare(row, declared, manifest.environment, now)
            row.updated_at = now
            row.save()
            warnings += [f"{workflow_id}: schedule {label!r}: {warning}"] if warning else []
    Schedule.objects.filter(pk__in=[row.pk for key, row in known.items() if key not in kept]).delete()
    return warnings


def _declare(row: Schedule, declared: Any, environment: str, now: int) -> str:
    """Take over a declaration; its slots go on where they stood when it is the one from before. The fault, if any."""
    text = jsontext.dumps(declared)
    same = row.declaration == text
    row.declaration = text
    if not same:
        row.last_error = ""
    try:
        parsed = schedules.parse(declared)
        first = parsed.first(now)
    except ValueError as error:
        row.enabled, row.disabled_reason, row.next_at, row.last_error = True, "", None, str(error)
        return str(error)
    if not parsed.enabled:
        reason = "registration_disabled"
    else:
        foreign = parsed.environments is not None and environment not in parsed.environments
        reason = "env_filtered" if foreign else ""
    row.enabled, row.disabled_reason = not reason, reason
    if reason:
        row.next_at = None
    elif not same or (row.next_at is None and parsed.at is None):
        row.next_at = first
    return ""


def _label(declared: Any, index: int) -> str:
    name = declared.get("name") if isinstance(declared, Mapping) else None
    return str(name) if _is_name(name) else str(index)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST
