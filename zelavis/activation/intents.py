"""The operator's verbs: check, record what is wanted, then drive the attempt.

An intent is one transaction that moves the registry's revision. Whoever records it holds the first lease and drives
it in the same breath; a process that dies in between is followed by the sweep (``reconcile``).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.utils import timezone

from zelavis import adapters, carry, killswitch, registry
from zelavis.activation import consent as consents
from zelavis.activation import drive, entries, stages, targets
from zelavis.errors import (
    AdapterNotConfigured,
    NothingToRollBack,
    NothingToUpdate,
    NotRetryable,
    PluginInstalled,
    PluginNotInstalled,
    PreconditionFailed,
    UnknownPlugin,
)
from zelavis.models import Activation, Deployment, DispatchWorker, PluginEntry

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
    settings: dict[str, Any] | None = None,
    expected: int | None = None,
    now: datetime | None = None,
) -> Activation:
    """Install the newest installable version, or the one named; the entry is made when there is none.

    ``implied``: without a ``consent`` the request itself is one, unless something of high risk is asked for.

    Raises:
        ZelavisError: no such release, not consented to, a setting it requires has no value, installed already,
            blocked, another attempt at work.
    """
    moment = now or timezone.now()
    entry = registry.entries().filter(name=name).first()
    chosen = adapters.get(adapter or (entry.adapter if entry else "sandbox"))
    missing = chosen.missing()
    if missing:
        raise AdapterNotConfigured(f"The adapter {chosen.name} cannot work: {missing}")
    target = targets.find(name, version, entry=entry, adapter=chosen)
    agreed = consents.check(target, serving=None, given=consent, implied=implied)
    given = carry.check(target.manifest, present=json.loads(entry.settings) if entry else {}, given=settings)

    def mutate() -> Activation:
        found = entries.find(name)
        if found is None:
            found = _Entry.objects.create(name=name, source=target.source, adapter=chosen.name, worker=worker)
        entries.check(found, expected)
        if found.serving_id is not None:
            raise PluginInstalled(f"The plugin {name} is installed; update it instead.")
        entries.refuse_unfinished(found)
        changes: dict[str, Any] = {"adapter": chosen.name}
        if worker is not None:
            changes["worker"] = worker
        registry.touch(found, **changes)
        return entries.begin(
            found, _Action.INSTALL, target, agreed=agreed, given=given, actor=actor, reason=reason, now=moment
        )

    return drive.go(registry.change(mutate))


def update(
    name: str,
    *,
    actor: str,
    version: str | None = None,
    reason: str = "",
    consent: str | None = None,
    settings: dict[str, Any] | None = None,
    percent: int | None = None,
    shadow_tapes: int | None = None,
    expected: int | None = None,
    now: datetime | None = None,
) -> Activation:
    """Bring another version into service; the present one serves until then.

    Args:
        settings: values for this version, on top of those that the entry has.
        percent: share of the calls that it gets at first; 100: all. By default what the update policy says.
        shadow_tapes: recorded calls to run again with it before it serves; 0: none. By default as the policy says.

    Raises:
        ConsentRequired: the version may do more than the one that serves.
        SettingsRequired: it requires a setting that has no value.
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
    given = carry.check(target.manifest, present=json.loads(entry.settings), given=settings)
    share, tapes = entries.carefully(name, percent, shadow_tapes)
    if share < 100:
        stages.refuse_unless_possible(seen, target.release)

    def mutate() -> Activation:
        found = entries.locked(name)
        entries.check(found, expected)
        entries.refuse_unfinished(found)
        if found.serving_id != seen.pk:
            # What is "more" was measured against another version.
            raise PreconditionFailed("Another version serves since this update was asked for; ask again.")
        return entries.begin(
            found, _Action.UPDATE, target, agreed=agreed, given=given, actor=actor, reason=reason, now=moment,
            percent=share, shadow_tapes=tapes,
        )  # fmt: skip

    return drive.go(registry.change(mutate))


def rollback(
    name: str, *, actor: str, reason: str = "", expected: int | None = None, now: datetime | None = None
) -> Activation:
    """Go back to the version before. It was consented to and deployed; it is asked once more whether it answers.

    While an update is rolled out in stages, the version before is the one that serves: the stages end.
    """
    moment = now or timezone.now()

    def mutate() -> Activation:
        found = entries.locked(name)
        entries.check(found, expected)
        former = found.serving if found.candidate_id is not None else found.previous
        if former is None or found.serving is None:
            raise NothingToRollBack(f"There is no earlier version of {name} to go back to.")
        targets.refuse_withdrawn(former)
        leaving = found.candidate or found.serving
        attempt = entries.row(found, _Action.ROLLBACK, former, actor=actor, reason=reason, now=moment)
        entries.supersede(found, attempt, now=moment)
        registry.touch(
            found,
            # Whatever was being deployed is superseded; both versions concerned here are deployed.
            deployment_state=_Entry.DeploymentState.DEPLOYED,
            activation_state=_Entry.ActivationState.PENDING,
            candidate=None,
            rollout=None,
        )
        return entries.record(attempt, f"{leaving} → {former}", now=moment)

    return drive.go(registry.change(mutate))


def promote(
    name: str, *, actor: str, reason: str = "", expected: int | None = None, now: datetime | None = None
) -> Activation:
    """End the stages of an update now: the version on its way gets every call, as if all stages had gone well.

    Raises:
        PluginNotInstalled: no staged update is running.
    """
    moment = now or timezone.now()
    found = entries.locked(name)
    entries.check(found, expected)
    attempt = stages.promote(found, actor=actor, reason=reason, now=moment)
    taken = drive.claim(attempt.pk, now=moment)
    return Activation.objects.get(pk=attempt.pk) if taken is None else drive.go(taken)


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
        found = entries.locked(name)
        # A blocked plugin can always go.
        entries.check(found, expected, whatever_blocks=True)
        at_work = found.activations.filter(finished_at=None).first()
        leaving = found.serving or (at_work.deployment if at_work else None)
        if found.status != _Entry.Status.INSTALLED and leaving is None:
            raise PluginNotInstalled(f"The plugin {name} is not installed.")
        attempt = entries.row(found, _Action.UNINSTALL, leaving, actor=actor, reason=reason, now=moment, purge=purge)
        entries.supersede(found, attempt, now=moment)
        found.schedules.all().delete()
        killswitch.end_calls(name, reason="Uninstalled.")
        registry.touch(
            found,
            stopped_at=moment,
            status=_Entry.Status.AVAILABLE,
            serving=None,
            previous=None,
            candidate=None,
            rollout=None,
            **_Entry.NO_WAIT,
            deployment_state=_Entry.DeploymentState.DEPLOYED
            if leaving is not None and leaving.state == Deployment.State.DEPLOYED
            else _Entry.DeploymentState.NONE,
            activation_state=_Entry.ActivationState.PENDING,
        )
        return entries.record(attempt, "It no longer serves.", now=moment)

    return drive.go(registry.change(mutate))


def announce(name: str, *, actor: str, reason: str = "", now: datetime | None = None) -> Activation:
    """Tell a worker that it is in the registry (the standard request's ``register``). Nothing serves by it."""
    moment = now or timezone.now()

    def mutate() -> Activation:
        found = entries.locked(name)
        entries.refuse_unfinished(found)
        attempt = entries.row(found, _Action.REGISTER, None, actor=actor, reason=reason, now=moment)
        return entries.record(attempt, "", now=moment)

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
        found = entries.locked(name)
        entries.check(found, None)
        entries.refuse_unfinished(found)
        if found.serving is None:
            raise PluginNotInstalled(f"The plugin {name} is not installed.")
        attempt = entries.row(found, _Action.UPDATE, found.serving, actor=actor, reason=reason, now=moment)
        entries.wanted(found, attempt)
        return entries.record(attempt, f"{found.serving} again", now=moment)

    return drive.go(registry.change(mutate))


def retry(activation_id: str, *, actor: str, reason: str = "", now: datetime | None = None) -> Activation:
    """Try the newest failed attempt of a plugin again: the same version, a new row, attempt n + 1."""
    moment = now or timezone.now()

    def mutate() -> Activation:
        old = Activation.objects.select_related("entry", "deployment").filter(pk=activation_id).first()
        if old is None or old.entry is None:
            raise UnknownPlugin("There is no such activation, or its plugin was removed.")
        found = entries.locked(old.plugin)
        entries.check(found, None)
        newest = found.activations.order_by("-created_at", "-id").first()
        if old.state != Activation.State.FAILED or newest is None or newest.pk != old.pk:
            raise NotRetryable
        if old.action not in (_Action.UNINSTALL, _Action.REGISTER):
            if old.deployment is None:
                raise NotRetryable("The version of this attempt is gone.")
            targets.refuse_withdrawn(old.deployment)
        attempt = entries.row(
            found, old.action, old.deployment, actor=actor, reason=reason or old.reason, now=moment, purge=old.purge
        )
        attempt.percent, attempt.shadow_tapes = old.percent, old.shadow_tapes
        attempt.attempt = old.attempt + 1
        attempt.retry_of_id = old.retry_of_id or old.pk
        entries.wanted(found, attempt)
        return entries.record(attempt, f"Attempt {attempt.attempt}, after {old.pk}", now=moment)

    return drive.go(registry.change(mutate))
