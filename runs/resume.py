"""A new run from an earlier one: what was done stays done, and says where it came from.

Validation, messages and rules of seeding are the seed's (``POST /api/runs/:id/resume``). What is added: resolved
waits before the resumed step come along, marked as inherited, so an approval is not asked for twice; and a parent
that has not ended is refused, because two runs would then do the same work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runs import clock, creation, jsontext, lifecycle, protocol, states
from runs.dispatchers.choose import choose
from runs.errors import ParentRunning, ResumeFailed, ResumeParentNotFound, WorkflowNotFound
from runs.jsontext import ABSENT
from runs.models import JournalEntry, Run, RunData
from zelavis import identifiers
from zelavis.errors import InvalidBody


@dataclass(frozen=True)
class Resumed:
    """The new run and where it goes on."""

    triggered: lifecycle.Triggered
    resume_from_step: str | None


def validate(body: dict[str, Any]) -> None:
    """Types of the body's members.

    Raises:
        InvalidBody: the first that is wrong, in the seed's order and words.
    """
    for name in ("resumeFromStep", "workflowId", "runId"):
        if name in body and not isinstance(body[name], str):
            raise InvalidBody(f"`{name}` must be a string when provided")
    if body.get("triggeredByUserId") is not None and not isinstance(body["triggeredByUserId"], str):
        raise InvalidBody("`triggeredByUserId` must be a string or null when provided")
    tags = body.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidBody("`tags` must be an array of strings when provided")
    if "seedResults" in body and not isinstance(body["seedResults"], dict):
        raise InvalidBody("`seedResults` must be an object when provided")
    # What becomes a column: the seed has no such limits, our rows have.
    run_id = body.get("runId", "")
    if len(run_id) > 400 or "/" in run_id or not run_id.isprintable():
        raise InvalidBody("`runId` must be 1 to 400 printable characters without a slash")
    if len(body.get("workflowId", "")) > protocol.LONGEST_WORKFLOW:
        raise InvalidBody(f"`workflowId` has more than {protocol.LONGEST_WORKFLOW} characters")
    if any(not step or not protocol.fits(step) for step in body.get("seedResults", {})):
        raise InvalidBody(f"`seedResults` names steps of 1 to {protocol.LONGEST_NAME} characters")


def resume(
    parent_id: str, body: dict[str, Any], *, tenant: str = "", claim: bool = False, now: int | None = None
) -> Resumed:
    """Start the new run.

    Raises:
        InvalidBody, ResumeFailed, ResumeParentNotFound: as in the seed.
        ParentRunning: the parent is running or waiting.
        WorkflowNotFound, RunConflict: as for a trigger.
    """
    validate(body)
    moment = clock.now_ms() if now is None else now
    parent = Run.objects.filter(pk=parent_id).first()
    if parent is not None and tenant and parent.tenant != tenant:
        parent = None
    workflow_id = body.get("workflowId") or (parent.workflow_id if parent else "")
    if not workflow_id:
        raise ResumeParentNotFound(
            f'parent run "{parent_id}" not found; pass workflowId, resumeFromStep, and seedResults to resume from an '
            "external workflow-runs parent"
        )
    if parent is not None and parent.status in states.ACTIVE:
        raise ParentRunning(f"run {parent_id} has not ended (status: {parent.status})")
    data = RunData.objects.get(pk=parent_id) if parent else None
    step, journal = _seed(parent, parent_id, body, moment)
    meta = jsontext.loads(data.meta) if data else {}
    tenant_meta = meta.get("tenantMeta") or lifecycle.default_tenant_meta(tenant)
    user = body.get("triggeredByUserId")
    parent_tags = meta.get("tags", [])
    new = creation.NewRun(
        id=body.get("runId") or identifiers.make("run", now_ms=moment),
        tenant=str(tenant_meta.get("tenantId") or lifecycle.DEFAULT_TENANT),
        workflow_id=workflow_id,
        workflow_version=parent.workflow_version if parent else "local",
        environment=parent.environment if parent else "development",
        input=body["input"] if "input" in body else (jsontext.value_or_absent(data.input) if data else ABSENT),
        tenant_meta=tenant_meta,
        triggered_by={"kind": "api"} | ({"actor": user} if user else {}),
        tags=_distinct(
            [
                *(parent_tags if isinstance(parent_tags, list) else []),
                "resume:true",
                f"parentRunId:{parent_id}",
                *body.get("tags", []),
            ]
        ),
        body_hash=jsontext.fingerprint([parent_id, {k: v for k, v in body.items() if k != "runId"}]),
        started_at=moment,
        created_at=moment,
        timeout_ms=parent.timeout_ms if parent else None,
        journal=journal,
        metadata=jsontext.loads(data.metadata_state) if data else {},
        metadata_cursor=parent.metadata_cursor if parent else 0,
        provenance={
            "resumedFrom": parent_id,
            "inheritedSteps": [key for kind, key, _ in journal if kind == JournalEntry.STEP],
            "inheritedWaitpoints": [key for kind, key, _ in journal if kind == JournalEntry.RESOLVED],
        },
    )
    if choose(workflow_id, new.tenant) is None:
        raise WorkflowNotFound(f'workflow "{workflow_id[:200]}" is not known here and no tenant is configured')
    triggered = lifecycle.start(new, claim=claim, own_id="runId" in body, now=moment)
    return Resumed(triggered, step)


def _distinct(tags: list[Any]) -> list[Any]:
    """Each once, in their order. A trigger takes any JSON as a tag, also what Python cannot put into a set."""
    return list({jsontext.canonical(tag): tag for tag in tags}.values())


def _seed(
    parent: Run | None, parent_id: str, body: dict[str, Any], now: int
) -> tuple[str | None, list[tuple[str, str, Any]]]:
    asked, seeds = body.get("resumeFromStep"), body.get("seedResults")
    if parent is None:
        if not asked:
            raise ResumeFailed("resumeFromStep is required when the parent run is not stored by this worker")
        if seeds is None:
            raise ResumeFailed("seedResults is required when the parent run is not stored by this worker")
        return asked, _from_results(seeds, now)
    entries = [
        (entry.kind, entry.key, jsontext.loads(entry.data))
        for entry in JournalEntry.objects.filter(
            run_id=parent_id, kind__in=[JournalEntry.STEP, JournalEntry.RESOLVED]
        ).order_by("seq")
    ]
    # The last failed step is what the run died of; an earlier one was caught by the body.
    failed = [key for kind, key, data in entries if kind == JournalEntry.STEP and data.get("status") == "err"]
    step = asked if asked is not None else failed[-1] if failed else None
    if not step:
        raise ResumeFailed(f'run "{parent_id}" has no failed step; pass resumeFromStep explicitly to resume it')
    if seeds is not None:
        return step, _from_results(seeds, now)
    copied: list[tuple[str, str, Any]] = []
    for kind, key, data in entries:
        if kind == JournalEntry.STEP:
            if key == step:
                break
            if data.get("status") != "ok" and not _caught(parent, entries, key):
                raise ResumeFailed(
                    f'step "{key}" completed before "{step}" but is not successful; cannot seed resume journal'
                )
            copied.append((kind, key, data))
        elif not key.startswith("trigger-delay:"):
            copied.append((kind, key, {**data, "inheritedFrom": parent_id}))
    return step, copied


def _caught(parent: Run, entries: list[tuple[str, str, Any]], step: str) -> bool:
    """Whether the body went on after this step failed: then its failure is part of what happened."""
    names = [key for kind, key, _ in entries if kind == JournalEntry.STEP]
    return names.index(step) < len(names) - 1


def _from_results(seeds: dict[str, Any], now: int) -> list[tuple[str, str, Any]]:
    return [
        (
            JournalEntry.STEP,
            name,
            {"attempt": 1, "status": "ok", "output": output, "startedAt": now + n, "finishedAt": now + n},
        )
        for n, (name, output) in enumerate(seeds.items())
    ]
