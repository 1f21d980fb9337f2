"""What every intent does with its entry and its attempt; all of it inside :func:`zelavis.registry.change`."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from marketplace import rollouts
from marketplace.models import Plugin
from zelavis import identifiers, registry
from zelavis.activation import records, targets
from zelavis.activation.timeline import note
from zelavis.errors import ActivationInProgress, InvalidRequest, PluginBlocked, PreconditionFailed, UnknownPlugin
from zelavis.models import Activation, Deployment, PluginEntry

#: How long an attempt may wait for a worker's "active".
DEADLINE = timedelta(minutes=10)

_Action = Activation.Action
_Entry = PluginEntry


def begin(
    entry: PluginEntry,
    action: str,
    target: targets.Target,
    *,
    agreed: str,
    given: dict[str, Any],
    actor: str,
    reason: str,
    now: datetime,
    percent: int = 100,
    shadow_tapes: int = 0,
) -> Activation:
    """A deployment of the target and the attempt that brings it, taken up already."""
    deployment = Deployment.objects.create(
        id=identifiers.make("dep"),
        entry=entry,
        adapter=entry.adapter,
        worker=entry.worker,
        version=target.version,
        specifier=target.specifier,
        release=target.release,
        digest=target.digest,
        entry_digest=target.entry_digest,
        kind=target.kind,
        manifest=json.dumps(target.manifest, ensure_ascii=False),
        grants=json.dumps(target.capabilities, ensure_ascii=False),
        consent=agreed,
        consented_by=actor,
        consented_at=now,
        settings=json.dumps(given, ensure_ascii=False),
        state=Deployment.State.DEPLOYING,
        created_at=now,
    )
    attempt = row(entry, action, deployment, actor=actor, reason=reason, now=now)
    attempt.percent, attempt.shadow_tapes = percent, shadow_tapes
    wanted(entry, attempt)
    return record(attempt, str(deployment), now=now)


def carefully(name: str, percent: int | None, shadow_tapes: int | None) -> tuple[int, int]:
    """First share and number of recordings to replay: as asked for, else as the plugin's update policy says."""
    plugin = Plugin.objects.filter(name=name).first()
    rule = rollouts.policy(plugin) if plugin is not None else None
    share = (rule.first_percent if rule else 100) if percent is None else percent
    tapes = (rule.shadow_tapes if rule else 0) if shadow_tapes is None else shadow_tapes
    if not 1 <= share <= 100:
        raise InvalidRequest("A share is 1 to 100 percent.")
    return share, tapes


def row(
    entry: PluginEntry,
    action: str,
    deployment: Deployment | None,
    *,
    actor: str,
    reason: str,
    now: datetime,
    purge: bool = False,
) -> Activation:
    """An attempt, not saved yet. Taken up by whoever records it: first claim, first fence, lease running."""
    return Activation(
        id=identifiers.make("act"),
        entry=entry,
        plugin=entry.name,
        action=action,
        adapter=deployment.adapter if deployment else entry.adapter,
        actor=actor,
        reason=reason,
        deployment=deployment,
        before=entry.serving,
        status_before=entry.status,
        purge=purge,
        claims=1,
        fence=1,
        wake_at=now + records.LEASE,
        deadline_at=now + DEADLINE,
        created_at=now,
    )


def wanted(entry: PluginEntry, attempt: Activation) -> None:
    """What the registry says while an attempt is at work."""
    if attempt.action == _Action.REGISTER:
        return
    changes: dict[str, Any] = {"activation_state": _Entry.ActivationState.PENDING}
    if attempt.action in (_Action.INSTALL, _Action.UPDATE):
        changes["status"] = _Entry.Status.INSTALLED
        if attempt.deployment is not None and attempt.deployment.state != Deployment.State.DEPLOYED:
            changes["deployment_state"] = _Entry.DeploymentState.DEPLOYING
    registry.touch(entry, **changes)


def record(attempt: Activation, message: str, *, now: datetime) -> Activation:
    """Save an attempt with the first line of its timeline."""
    attempt.save(force_insert=True)
    note(attempt, "requested", f"{attempt.action} by {attempt.actor}. {message}".strip(), now=now)
    return attempt


def find(name: str) -> PluginEntry | None:
    """The entry with its versions, as it is in this transaction."""
    return _Entry.objects.select_related("serving", "previous", "candidate", "worker").filter(name=name).first()


def locked(name: str) -> PluginEntry:
    """The same; there has to be one."""
    entry = find(name)
    if entry is None:
        raise UnknownPlugin(f"There is no plugin {name[:80]!r} in the registry.")
    return entry


def check(entry: PluginEntry, expected: int | None, *, whatever_blocks: bool = False) -> None:
    """Refuse at another revision than expected, and what is blocked."""
    if expected is not None and entry.revision != expected:
        raise PreconditionFailed(f"The plugin is at revision {entry.revision}.", revision=entry.revision)
    if entry.blocked and not whatever_blocks:
        raise PluginBlocked(f"The plugin {entry.name} is blocked: {entry.blocked}")


def refuse_unfinished(entry: PluginEntry) -> None:
    """One attempt of a plugin at a time."""
    at_work = entry.activations.filter(finished_at=None).first()
    if at_work is not None:
        raise ActivationInProgress(
            f"An activation of {entry.name} ({at_work.action}) is at work.", activation=at_work.pk
        )


def supersede(entry: PluginEntry, by: Activation, *, now: datetime) -> None:
    """Going back and going away do not wait for what is at work; they end it."""
    at_work = entry.activations.filter(finished_at=None).first()
    if at_work is not None:
        records.superseded(at_work, by.action, now=now)
