"""What an attempt may write, each in one transaction and only while its fence holds.

A process that was taken for dead and woke up again finds a higher fence and writes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from zelavis import audit, registry
from zelavis.activation import data, installs, schedules, targets
from zelavis.activation.timeline import note
from zelavis.adapters.base import Answer
from zelavis.errors import PluginBlocked
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
    """The answer was "active": only now does the version serve."""
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
        _close(activation, fence, _State.ACTIVE, answer, now=now, duration_ms=duration_ms)
        deployment.proven_by = activation.pk
        deployment.save(update_fields=["proven_by"])
        before = entry.serving
        registry.touch(
            entry,
            status=_Entry.Status.INSTALLED,
            specifier=deployment.specifier or entry.specifier,
            deployment_state=_Entry.DeploymentState.DEPLOYED,
            activation_state=_Entry.ActivationState.ACTIVE,
            serving=deployment,
            previous=before if before is not None and before.pk != deployment.pk else entry.previous,
        )
        # Another version starts with a clean record.
        CircuitBreaker.objects.filter(plugin=entry.name).delete()
        schedules.align(entry, deployment, now=now)
        installs.count(deployment, actor=activation.actor, now=now)
        _audit(activation, before, deployment)
        return True

    if not registry.change(mutate):
        failed(
            activation,
            fence,
            Answer(
                status="failed",
                code="plugin_blocked",
                message="The plugin or this version of it was withdrawn meanwhile.",
            ),
            now=now,
            duration_ms=duration_ms,
        )


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
    note(activation, "superseded", f"by {by}", now=now)


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
