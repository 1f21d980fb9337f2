"""Staged updates: the new version answers a growing share of the calls before it serves alone.

Which call goes where, when the share grows and when it ends by itself is the marketplace's (``marketplace.rollouts``);
the registry holds the candidate beside what serves, and the attempt stays open until the end is known. A call asks the
marketplace's row, so that a halt counts at the next call, before anybody here has drawn a conclusion from it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from marketplace import rollouts
from marketplace.models import Release, Rollout, RolloutState
from zelavis import doorbell
from zelavis.activation.timeline import note
from zelavis.errors import InvalidRequest, PluginNotInstalled
from zelavis.models import Activation, Deployment, PluginEntry

#: How often an open attempt looks at its rollout when nobody rings.
LOOK = timedelta(seconds=60)


def refuse_unless_possible(serving: Deployment | None, release: str) -> None:
    """A share can only be sent between two releases.

    Raises:
        InvalidRequest: one of the versions is its worker's own.
    """
    if serving is None or not serving.release or not release:
        raise InvalidRequest("Only an update from one release of the marketplace to another can go in stages.")


def begin(activation: Activation, entry: PluginEntry, deployment: Deployment, *, now: datetime) -> Rollout:
    """Start the marketplace's row; call inside :func:`zelavis.registry.change`.

    Raises:
        ZelavisError: the candidate is not offered any more.
    """
    serving = entry.serving
    if serving is None:
        raise PluginNotInstalled
    candidate = Release.objects.select_related("plugin").get(pk=deployment.release)
    left = rollouts.running(entry.name)
    if left is not None:
        # One attempt at a time: a row that runs without one was left by an end that was not told.
        rollouts.cancel(left, actor="system", reason="Nobody follows it any more.", now=now)
    return rollouts.start(
        candidate.plugin,
        baseline=Release.objects.get(pk=serving.release),
        candidate=candidate,
        actor=activation.actor,
        reason=activation.reason,
        percent=activation.percent,
        now=now,
    )


def end(rollout: int | None, *, actor: str, reason: str, now: datetime) -> None:
    """Cancel a running rollout whose attempt ends for another reason."""
    row = Rollout.objects.select_related("plugin", "baseline", "candidate").filter(pk=rollout or 0).first()
    if row is not None and row.state == RolloutState.RUNNING:
        rollouts.cancel(row, actor=actor, reason=reason, now=now)


def promote(entry: PluginEntry, *, actor: str, reason: str, now: datetime) -> Activation:
    """End the stages now: the candidate serves alone.

    Raises:
        PluginNotInstalled: no staged update is running.
    """
    row = Rollout.objects.select_related("plugin", "baseline", "candidate").filter(pk=entry.rollout or 0).first()
    attempt = entry.activations.filter(state=Activation.State.ROLLING).first()
    if row is None or attempt is None or row.state != RolloutState.RUNNING:
        raise PluginNotInstalled(f"No staged update of {entry.name} is running.")
    rollouts.complete(row, actor=actor, reason=reason or f"Promoted by {actor}.", now=now)
    Activation.objects.filter(pk=attempt.pk, state=Activation.State.ROLLING).update(wake_at=now)
    return attempt


def changed(rollout: int) -> None:
    """The marketplace moved or ended a rollout: whoever follows it looks at once."""
    transaction.on_commit(partial(_wake, rollout))


def _wake(rollout: int) -> None:
    if Activation.objects.filter(rollout=rollout, state=Activation.State.ROLLING).update(wake_at=timezone.now()):
        doorbell.ring("zelavis.tasks.sweep_activations")


def moved(attempt: Activation, row: Rollout, *, now: datetime) -> None:
    """Write down a share that grew since the last look."""
    if row.percent != attempt.percent:
        note(attempt, "share", f"{row.percent} % of the calls: {fares(row)}", now=now)


def fares(row: Rollout) -> str:
    """How both versions did so far, in words."""
    return (
        f"{row.candidate_failures} of {row.candidate_calls} calls of {row.candidate.version} failed, "
        f"{row.baseline_failures} of {row.baseline_calls} of {row.baseline.version}."
    )
