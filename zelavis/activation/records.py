"""What an attempt may write, each in one transaction and only while its fence holds.

A process that was taken for dead and woke up again finds a higher fence and writes nothing.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from marketplace.models import Rollout, RolloutState
from zelavis import audit, carry, registry
from zelavis.activation import data, installs, rehearsal, schedules, stages, targets
from zelavis.activation.timeline import note
from zelavis.adapters.base import Answer
from zelavis.errors import PluginBlocked, SettingsRequired, ZelavisError
from zelavis.models import Activation, CircuitBreaker, Deployment, PluginEntry

#: How long a process may work on a step before another may take the attempt up.
LEASE = timedelta(seconds=60)
#: Polls of a pending activation, and the longest wait between two.
POLLS = 20
LONGEST_WAIT = timedelta(seconds=30)

_Action = Activation.Action
_State = Activation.State
_Entry = PluginEntry


class LostLease(Exception):
    """Another process works on this attempt, or it is over. Nothing was written."""


def held(activation: Activation, fence: int, **changes: Any) -> None:
    """Change the attempt's row if the fence still holds, else :class:`LostLease`."""
    if not Activation.objects.filter(pk=activation.pk, fence=fence, finished_at=None).update(**changes):
        raise LostLease
    for field, value in changes.items():
        setattr(activation, field, value)


def step(activation: Activation, fence: int, state: str, *, now: datetime) -> None:
    """The attempt goes on to ``state``; its lease begins anew."""
    held(activation, fence, state=state, wake_at=now + LEASE)


def deployed(activation: Activation, fence: int, *, now: datetime, duration_ms: int) -> None:
    """The version is where it has to run."""

    def mutate() -> None:
        held(activation, fence, state=_State.ACTIVATING, wake_at=now + LEASE)
        Deployment.objects.filter(pk=activation.deployment_id).update(state=Deployment.State.DEPLOYED, deployed_at=now)
        if activation.deployment is not None:
            activation.deployment.state = Deployment.State.DEPLOYED
        registry.touch(_entry(activation), deployment_state=_Entry.DeploymentState.DEPLOYED)
        note(activation, "deployed", now=now, duration_ms=duration_ms)

    registry.change(mutate)


def pending(activation: Activation, fence: int, answer: Answer, *, now: datetime, duration_ms: int) -> None:
    """The worker said "not yet": ask again, later each time, until the polls or the time are used up."""
    polls = activation.polls + 1
    if polls >= POLLS or now >= activation.deadline_at:
        failed(
            activation,
            fence,
            Answer(
                status="failed",
                code=answer.code or "still_pending",
                message=f"Still pending after {polls} tries: {answer.message or 'no message'}",
                http_status=answer.http_status,
            ),
            now=now,
            duration_ms=duration_ms,
        )
        return
    wait = min(LONGEST_WAIT, timedelta(milliseconds=500 * 2 ** min(polls - 1, 10)))
    with transaction.atomic():
        held(
            activation,
            fence,
            state=_State.PENDING,
            polls=polls,
            wake_at=min(now + wait, activation.deadline_at),
            code=answer.code,
            message=answer.message,
            http_status=answer.http_status,
        )
        note(
            activation,
            "pending",
            answer.message,
            now=now,
            duration_ms=duration_ms,
            http_status=answer.http_status,
            code=answer.code,
            attempt=polls,
            attempts=POLLS,
        )


def succeeded(activation: Activation, fence: int, answer: Answer, *, now: datetime, duration_ms: int) -> None:
    """The answer was "active": only now does the version serve, or get its first share of the calls."""
    if activation.action == _Action.UNINSTALL:
        _finish_uninstall(activation, fence, answer, now=now, duration_ms=duration_ms)
        return
    if activation.action == _Action.REGISTER:
        with transaction.atomic():
            _close(activation, fence, _State.INACTIVE, answer, now=now, duration_ms=duration_ms)
        return

    def mutate() -> bool:
        entry = _entry(activation)
        deployment = Deployment.objects.get(pk=activation.deployment_id)
        try:
            targets.refuse_withdrawn(deployment)
        except PluginBlocked:
            return False
        if entry.blocked:
            return False
        before = entry.serving
        if activation.state != _State.ROLLING:
            deployment.proven_by = activation.pk
            deployment.save(update_fields=["proven_by"])
        if activation.percent < 100 and activation.state != _State.ROLLING and before is not None:
            _roll_out(activation, fence, entry, deployment, answer, now=now, duration_ms=duration_ms)
            return True
        _close(activation, fence, _State.ACTIVE, answer, now=now, duration_ms=duration_ms)
        registry.touch(
            entry,
            status=_Entry.Status.INSTALLED,
            specifier=deployment.specifier or entry.specifier,
            deployment_state=_Entry.DeploymentState.DEPLOYED,
            activation_state=_Entry.ActivationState.ACTIVE,
            serving=deployment,
            previous=before if before is not None and before.pk != deployment.pk else entry.previous,
            candidate=None,
            rollout=None,
            **_Entry.NO_WAIT,
            **_settings(activation, entry, deployment, before, now=now),
        )
        # Another version starts with a clean record.
        CircuitBreaker.objects.filter(plugin=entry.name).delete()
        schedules.align(entry, deployment, now=now)
        installs.count(deployment, actor=activation.actor, now=now)
        _audit(activation, before, deployment)
        return True

    problem = Answer(
        status="failed", code="plugin_blocked", message="The plugin or this version of it was withdrawn meanwhile."
    )
    try:
        if registry.change(mutate):
            return
    except ZelavisError as error:
        # Its release may not be offered any more, a setting may have been taken away.
        problem = Answer(status="failed", code=error.code, message=error.message)
    failed(activation, fence, problem, now=now, duration_ms=duration_ms)


def _roll_out(
    activation: Activation,
    fence: int,
    entry: PluginEntry,
    deployment: Deployment,
    answer: Answer,
    *,
    now: datetime,
    duration_ms: int,
) -> None:
    """It answers: the first share of the calls goes to it, the version before serves the others."""
    rollout = stages.begin(activation, entry, deployment, now=now)
    held(
        activation,
        fence,
        state=_State.ROLLING,
        rollout=rollout.pk,
        wake_at=now + stages.LOOK,
        code="",
        message=answer.message,
        http_status=answer.http_status,
    )
    registry.touch(
        entry,
        deployment_state=_Entry.DeploymentState.DEPLOYED,
        activation_state=_Entry.ActivationState.ACTIVE,
        candidate=deployment,
        rollout=rollout.pk,
    )
    note(
        activation, "rolling_out", f"{rollout.percent} % of the calls; {entry.serving} serves the others.", now=now,
        duration_ms=duration_ms, http_status=answer.http_status,
    )  # fmt: skip
    _audit(activation, entry.serving, deployment)


def followed(activation: Activation, fence: int, *, now: datetime) -> None:
    """A look at a staged update: it goes on, came to its end, or was ended."""
    row = Rollout.objects.select_related("baseline", "candidate").filter(pk=activation.rollout or 0).first()
    if row is not None and row.state == RolloutState.RUNNING:
        with transaction.atomic():
            stages.moved(activation, row, now=now)
            held(activation, fence, wake_at=now + stages.LOOK, percent=row.percent)
        return
    if row is not None and row.state == RolloutState.COMPLETED:
        note(activation, "share", f"All calls: {stages.fares(row)}", now=now)
        succeeded(activation, fence, Answer(status="active", message=row.outcome), now=now, duration_ms=0)
        return
    answer = Answer(
        status="failed",
        code=f"rollout_{row.state}" if row is not None else "rollout_cancelled",
        message=row.outcome if row is not None else "The staged update is gone.",
    )
    failed(activation, fence, answer, now=now, duration_ms=None)


def rehearsed(
    activation: Activation, fence: int, verdict: rehearsal.Verdict, *, now: datetime, duration_ms: int
) -> None:
    """What replaying recorded calls with the new version said."""
    with transaction.atomic():
        held(
            activation,
            fence,
            shadow=verdict.verdict,
            shadow_total=verdict.total,
            shadow_different=verdict.different,
            wake_at=now + LEASE,
        )
        note(activation, "rehearsed", verdict.text, now=now, duration_ms=duration_ms)


def failed(activation: Activation, fence: int, answer: Answer, *, now: datetime, duration_ms: int | None) -> None:
    """It did not work: what served before serves on, and the entry's status is what it was."""

    def mutate() -> None:
        _close(activation, fence, _State.FAILED, answer, now=now, duration_ms=duration_ms)
        if activation.entry_id is None or activation.action == _Action.REGISTER:
            return
        entry = _entry(activation)
        deployment = activation.deployment
        if deployment is not None and deployment.state != Deployment.State.DEPLOYED:
            Deployment.objects.filter(pk=deployment.pk).update(state=Deployment.State.FAILED, message=answer.message)
        if activation.action == _Action.UNINSTALL:
            # It stays out of service; only the farewell failed.
            registry.touch(entry, activation_state=_Entry.ActivationState.FAILED)
        elif entry.serving_id is not None:
            registry.touch(
                entry,
                status=activation.status_before or entry.status,
                deployment_state=_Entry.DeploymentState.DEPLOYED,
                activation_state=_Entry.ActivationState.ACTIVE,
                candidate=None,
                rollout=None,
            )
            note(activation, "restored", f"{entry.serving} serves on.", now=now)
        else:
            there = deployment is not None and deployment.state == Deployment.State.DEPLOYED
            registry.touch(
                entry,
                status=activation.status_before or _Entry.Status.AVAILABLE,
                deployment_state=_Entry.DeploymentState.DEPLOYED if there else _Entry.DeploymentState.FAILED,
                activation_state=_Entry.ActivationState.FAILED,
            )

    registry.change(mutate)


def superseded(activation: Activation, by: str, *, now: datetime) -> None:
    """A later intent takes its place; call inside :func:`registry.change`. Whoever works on it loses the fence."""
    Activation.objects.filter(pk=activation.pk, finished_at=None).update(
        state=_State.SUPERSEDED, finished_at=now, wake_at=None, fence=activation.fence + 1
    )
    stages.end(activation.rollout, actor="system", reason=f"Superseded by {by}.", now=now)
    note(activation, "superseded", f"by {by}", now=now)


def _settings(
    activation: Activation, entry: PluginEntry, deployment: Deployment, before: Deployment | None, *, now: datetime
) -> dict[str, str]:
    """The entry's settings under the version that serves from now on. What the one before had stays with it."""
    if before is not None and before.pk == deployment.pk:
        return {}
    returning = activation.action == _Action.ROLLBACK
    carried = (carry.back if returning else carry.onward)(entry, deployment)
    if carried.missing and not returning:
        raise SettingsRequired(f"This version needs a value for {', '.join(carried.missing)}.")
    if before is not None:
        Deployment.objects.filter(pk=before.pk).update(settings=entry.settings)
    Deployment.objects.filter(pk=deployment.pk).update(settings="{}")
    if carried.values or carried.dropped:
        note(activation, "settings", str(carried), now=now)
    return {"settings": json.dumps(carried.values, ensure_ascii=False)}


def _finish_uninstall(activation: Activation, fence: int, answer: Answer, *, now: datetime, duration_ms: int) -> None:
    # Before the closing line, and idempotent: a crash in between purges again.
    purged = data.purge(activation.plugin) if activation.purge else None

    def mutate() -> None:
        _close(activation, fence, _State.INACTIVE, answer, now=now, duration_ms=duration_ms)
        entry = _entry(activation)
        registry.touch(
            entry,
            deployment_state=_Entry.DeploymentState.NONE,
            activation_state=_Entry.ActivationState.INACTIVE,
            **({"settings": "{}"} if activation.purge else {}),
        )
        if purged is not None:
            note(activation, "purged", ", ".join(f"{count} {kind}" for kind, count in purged.items()) or "", now=now)
        _audit(activation, activation.deployment, None)

    registry.change(mutate)


def _close(
    activation: Activation, fence: int, state: str, answer: Answer, *, now: datetime, duration_ms: int | None
) -> None:
    held(
        activation,
        fence,
        state=state,
        finished_at=now,
        wake_at=None,
        code="" if state in (_State.ACTIVE, _State.INACTIVE) else answer.code,
        message=answer.message,
        http_status=answer.http_status,
        # A clock that was set may say anything; the column holds 24 days.
        duration_ms=min(max(0, round((now - activation.created_at).total_seconds() * 1000)), 2**31 - 1),
    )
    note(
        activation,
        str(state),
        answer.message,
        now=now,
        duration_ms=duration_ms,
        http_status=answer.http_status,
        trap=answer.trap,
        code=answer.code if state == _State.FAILED else "",
        attempt=activation.polls + 1 if activation.polls else 0,
        attempts=POLLS if activation.polls else 0,
    )


def _entry(activation: Activation) -> PluginEntry:
    """The entry as it is now, inside the transaction; without it there is nothing to write to."""
    entry = PluginEntry.objects.select_related("serving", "previous").filter(name=activation.plugin).first()
    if entry is None or entry.pk != activation.entry_id:
        raise LostLease
    return entry


def _audit(activation: Activation, before: Deployment | None, after: Deployment | None) -> None:
    audit.record(
        f"plugin.{activation.action}",
        target=f"plugin:{activation.plugin}",
        actor=activation.actor,
        reason=activation.reason,
        changes={"version": [before.version if before else None, after.version if after else None]},
    )
