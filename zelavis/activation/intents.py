"""The operator's verbs: check, record what is wanted, then drive the attempt.

An intent is one transaction that moves the registry's revision. Whoever records it holds the first lease and drives
it in the same breath; a process that dies in between is followed by the sweep (``reconcile``).
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from zelavis import adapters, identifiers, registry
from zelavis.activation import consent as consents
from zelavis.activation import drive, records, targets
from zelavis.activation.timeline import note
from zelavis.errors import (
    ActivationInProgress,
    AdapterNotConfigured,
    NothingToRollBack,
    NothingToUpdate,
    NotRetryable,
    PluginBlocked,
    PluginInstalled,
    PluginNotInstalled,
    PreconditionFailed,
    UnknownPlugin,
)
from zelavis.models import Activation, Deployment, DispatchWorker, PluginEntry

#: How long an attempt may wait for a worker's "active".
DEADLINE = timedelta(minutes=10)

_Action = Activation.Action
_Entry = PluginEntry


def install(
    name: str,
    *,
    actor: str,
    version: str | None = None,
    reason: str = "",
    consent: str | None = None,
    implied: bool = False,
    adapter: str | None = None,
    worker: DispatchWorker | None = None,
    expected: int | None = None,
    now: datetime | None = None,
) -> Activation:
    """Install the newest installable version, or the one named; the entry is made when there is none.

    ``implied``: without a ``consent`` the request itself is one, unless something of high risk is asked for.

    Raises:
        ZelavisError: no such release, not consented to, installed already, blocked, another attempt at work.
    """
    moment = now or timezone.now()
    entry = registry.entries().filter(name=name).first()
    chosen = adapters.get(adapter or (entry.adapter if entry else "sandbox"))
    missing = chosen.missing()
    if missing:
        raise AdapterNotConfigured(f"The adapter {chosen.name} cannot work: {missing}")
    target = targets.find(name, version, entry=entry, adapter=chosen)
    agreed = consents.check(target, serving=None, given=consent, implied=implied)

    def mutate() -> Activation:
        found = _lock(name)
        if found is None:
            found = _Entry.objects.create(name=name, source=target.source, adapter=chosen.name, worker=worker)
        _check(found, expected)
        if found.serving_id is not None:
            raise PluginInstalled(f"The plugin {name} is installed; update it instead.")
        _refuse_unfinished(found)
        changes: dict[str, Any] = {"adapter": chosen.name}
        if worker is not None:
            changes["worker"] = worker
        registry.touch(found, **changes)
        return _begin(found, _Action.INSTALL, target, agreed=agreed, actor=actor, reason=reason, now=moment)

    return drive.go(registry.change(mutate))


def update(
    name: str,
    *,
    actor: str,
    version: str | None = None,
    reason: str = "",
    consent: str | None = None,
    expected: int | None = None,
    now: datetime | None = None,
) -> Activation:
    """Bring another version into service; the present one serves until then.

    Raises:
        ConsentRequired: the version may do more than the one that serves.
    """
    moment = now or timezone.now()
    entry = registry.get(name)
    if entry.serving is None:
        raise PluginNotInstalled(f"The plugin {name} is not installed.")
    target = targets.find(name, version, entry=entry, adapter=adapters.get(entry.adapter))
    seen = entry.serving
    if target.version == seen.version and target.digest == seen.digest and target.version:
        raise NothingToUpdate(f"{name} {target.version} is the version that serves.")
    agreed = consents.check(target, serving=seen, given=consent)

    def mutate() -> Activation:
        found = _locked(name)
        _check(found, expected)
        _refuse_unfinished(found)
        if found.serving_id != seen.pk:
            # What is "more" was measured against another version.
            raise PreconditionFailed("Another version serves since this update was asked for; ask again.")
        return _begin(found, _Action.UPDATE, target, agreed=agreed, actor=actor, reason=reason, now=moment)

    return drive.go(registry.change(mutate))


def rollback(
    name: str, *, actor: str, reason: str = "", expected: int | None = None, now: datetime | None = None
) -> Activation:
    """Go back to the version before. It was consented to and deployed; it is asked once more whether it answers."""
    moment = now or timezone.now()

    def mutate() -> Activation:
        found = _locked(name)
        _check(found, expected)
        if found.previous is None or found.serving is None:
            raise NothingToRollBack(f"There is no earlier version of {name} to go back to.")
        targets.refuse_withdrawn(found.previous)
        attempt = _row(found, _Action.ROLLBACK, found.previous, actor=actor, reason=reason, now=moment)
        _supersede(found, attempt, now=moment)
        registry.touch(
            found,
            # Whatever was being deployed is superseded; both versions concerned here are deployed.
            deployment_state=_Entry.DeploymentState.DEPLOYED,
            activation_state=_Entry.ActivationState.PENDING,
        )
        return _record(attempt, f"{found.serving} → {found.previous}", now=moment)

    return drive.go(registry.change(mutate))


def uninstall(
    name: str,
    *,
    actor: str,
    purge: bool = False,
    reason: str = "",
    expected: int | None = None,
    now: datetime | None = None,
) -> Activation:
    """Take a plugin out of service at once, then say goodbye to it where it runs; ``purge`` deletes its data too."""
    moment = now or timezone.now()

    def mutate() -> Activation:
        found = _locked(name)
        # A blocked plugin can always go.
        _check(found, expected, whatever_blocks=True)
        at_work = found.activations.filter(finished_at=None).first()
        leaving = found.serving or (at_work.deployment if at_work else None)
        if found.status != _Entry.Status.INSTALLED and leaving is None:
            raise PluginNotInstalled(f"The plugin {name} is not installed.")
        attempt = _row(found, _Action.UNINSTALL, leaving, actor=actor, reason=reason, now=moment, purge=purge)
        _supersede(found, attempt, now=moment)
        found.schedules.all().delete()
        registry.touch(
            found,
            status=_Entry.Status.AVAILABLE,
            serving=None,
            previous=None,
            deployment_state=_Entry.DeploymentState.DEPLOYED
            if leaving is not None and leaving.state == Deployment.State.DEPLOYED
            else _Entry.DeploymentState.NONE,
            activation_state=_Entry.ActivationState.PENDING,
        )
        return _record(attempt, "It no longer serves.", now=moment)

    return drive.go(registry.change(mutate))


def announce(name: str, *, actor: str, reason: str = "", now: datetime | None = None) -> Activation:
    """Tell a worker that it is in the registry (the standard request's ``register``). Nothing serves by it."""
    moment = now or timezone.now()

    def mutate() -> Activation:
        found = _locked(name)
        _refuse_unfinished(found)
        attempt = _row(found, _Action.REGISTER, None, actor=actor, reason=reason, now=moment)
        return _record(attempt, "", now=moment)

    return drive.go(registry.change(mutate))


def activate(name: str, *, actor: str, reason: str = "", now: datetime | None = None) -> Activation:
    """Ask once more: a newest attempt that failed is tried again, else what serves is asked whether it still answers.

    What serves and no longer answers serves on, and the attempt says so.
    """
    moment = now or timezone.now()
    entry = registry.get(name)
    newest = entry.activations.order_by("-created_at", "-id").first()
    if newest is not None and newest.state == Activation.State.FAILED:
        return retry(newest.pk, actor=actor, reason=reason, now=now)

    def mutate() -> Activation:
        found = _locked(name)
        _check(found, None)
        _refuse_unfinished(found)
        if found.serving is None:
            raise PluginNotInstalled(f"The plugin {name} is not installed.")
        attempt = _row(found, _Action.UPDATE, found.serving, actor=actor, reason=reason, now=moment)
        _wanted(found, attempt)
        return _record(attempt, f"{found.serving} again", now=moment)

    return drive.go(registry.change(mutate))


def retry(activation_id: str, *, actor: str, reason: str = "", now: datetime | None = None) -> Activation:
    """Try the newest failed attempt of a plugin again: the same version, a new row, attempt n + 1."""
    moment = now or timezone.now()

    def mutate() -> Activation:
        old = Activation.objects.select_related("entry", "deployment").filter(pk=activation_id).first()
        if old is None or old.entry is None:
            raise UnknownPlugin("There is no such activation, or its plugin was removed.")
        found = _locked(old.plugin)
        _check(found, None)
        newest = found.activations.order_by("-created_at", "-id").first()
        if old.state != Activation.State.FAILED or newest is None or newest.pk != old.pk:
            raise NotRetryable
        if old.action not in (_Action.UNINSTALL, _Action.REGISTER):
            if old.deployment is None:
                raise NotRetryable("The version of this attempt is gone.")
            targets.refuse_withdrawn(old.deployment)
        attempt = _row(
            found, old.action, old.deployment, actor=actor, reason=reason or old.reason, now=moment, purge=old.purge
        )
        attempt.attempt = old.attempt + 1
        attempt.retry_of_id = old.retry_of_id or old.pk
        _wanted(found, attempt)
        return _record(attempt, f"Attempt {attempt.attempt}, after {old.pk}", now=moment)

    return drive.go(registry.change(mutate))


def _begin(
    entry: PluginEntry,
    action: str,
    target: targets.Target,
    *,
    agreed: str,
    actor: str,
    reason: str,
    now: datetime,
) -> Activation:
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
        state=Deployment.State.DEPLOYING,
        created_at=now,
    )
    attempt = _row(entry, action, deployment, actor=actor, reason=reason, now=now)
    _wanted(entry, attempt)
    return _record(attempt, str(deployment), now=now)


def _row(
    entry: PluginEntry,
    action: str,
    deployment: Deployment | None,
    *,
    actor: str,
    reason: str,
    now: datetime,
    purge: bool = False,
) -> Activation:
    # Taken up already by whoever records it: first claim, first fence, lease running.
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


def _wanted(entry: PluginEntry, attempt: Activation) -> None:
    """What the registry says while an attempt is at work."""
    if attempt.action == _Action.REGISTER:
        return
    changes: dict[str, Any] = {"activation_state": _Entry.ActivationState.PENDING}
    if attempt.action in (_Action.INSTALL, _Action.UPDATE):
        changes["status"] = _Entry.Status.INSTALLED
        if attempt.deployment is not None and attempt.deployment.state != Deployment.State.DEPLOYED:
            changes["deployment_state"] = _Entry.DeploymentState.DEPLOYING
    registry.touch(entry, **changes)


def _record(attempt: Activation, message: str, *, now: datetime) -> Activation:
    attempt.save(force_insert=True)
    note(attempt, "requested", f"{attempt.action} by {attempt.actor}. {message}".strip(), now=now)
    return attempt


def _lock(name: str) -> PluginEntry | None:
    return _Entry.objects.select_related("serving", "previous", "worker").filter(name=name).first()


def _locked(name: str) -> PluginEntry:
    entry = _lock(name)
    if entry is None:
        raise UnknownPlugin(f"There is no plugin {name[:80]!r} in the registry.")
    return entry


def _check(entry: PluginEntry, expected: int | None, *, whatever_blocks: bool = False) -> None:
    if expected is not None and entry.revision != expected:
        raise PreconditionFailed(f"The plugin is at revision {entry.revision}.", revision=entry.revision)
    if entry.blocked and not whatever_blocks:
        raise PluginBlocked(f"The plugin {entry.name} is blocked: {entry.blocked}")


def _refuse_unfinished(entry: PluginEntry) -> None:
    at_work = entry.activations.filter(finished_at=None).first()
    if at_work is not None:
        raise ActivationInProgress(
            f"An activation of {entry.name} ({at_work.action}) is at work.", activation=at_work.pk
        )


def _supersede(entry: PluginEntry, by: Activation, *, now: datetime) -> None:
    """Going back and going away do not wait for what is at work; they end it."""
    at_work = entry.activations.filter(finished_at=None).first()
    if at_work is not None:
        records.superseded(at_work, by.action, now=now)
