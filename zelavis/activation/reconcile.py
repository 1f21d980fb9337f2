"""What happens without an operator: due attempts go on, withdrawn plugins stop."""

from __future__ import annotations

import logging
from datetime import datetime

from django.utils import timezone

from zelavis import audit, doorbell, killswitch, querysets, registry
from zelavis.activation import drive, records
from zelavis.activation.timeline import note
from zelavis.models import Activation, PluginEntry

logger = logging.getLogger("zelavis.activation")
#: Attempts one sweep drives before it rings for the next.
BATCH = 20


def sweep(*, now: datetime | None = None) -> int:
    """Drive every attempt that is due: polls of pending ones, and those whose process died. How many it took up."""
    moment = now or timezone.now()
    due = list(querysets.due_activations(moment).values_list("pk", flat=True)[:BATCH])
    taken = 0
    for activation_id in due:
        attempt = drive.claim(activation_id, now=moment)
        if attempt is not None:
            taken += 1
            drive.go(attempt)
    if len(due) == BATCH:
        doorbell.ring("zelavis.tasks.sweep_activations")
    return taken


def seconds_until_next() -> float | None:
    """For beat: when the next attempt needs somebody."""
    earliest = querysets.earliest(Activation.objects.filter(wake_at__isnull=False), "wake_at")
    return None if earliest is None else (earliest - timezone.now()).total_seconds()


def stop(name: str, *, reason: str, actor: str, digests: set[str] | None = None, now: datetime | None = None) -> bool:
    """The kill switch: the plugin serves no more from the next call on, here and in every process.

    Args:
        digests: bundles that were withdrawn; ``None``: every version. An entry that serves another version serves on.

    Returns:
        Whether anything was stopped.
    """
    moment = now or timezone.now()

    def mutate() -> bool:
        entry = PluginEntry.objects.select_related("serving", "previous", "candidate").filter(name=name).first()
        if entry is None:
            return False
        withdrawn = [
            deployment
            for deployment in (entry.serving, entry.previous, entry.candidate)
            if deployment is not None and (digests is None or deployment.digest in digests)
        ]
        at_work = entry.activations.select_related("deployment").filter(finished_at=None).first()
        if at_work is not None and at_work.deployment is not None:
            # What serves gone, there is nothing left that a share could be taken from.
            staged = entry.candidate_id is not None and entry.serving in withdrawn
            if digests is None or at_work.deployment.digest in digests or staged:
                records.superseded(at_work, "withdrawal", now=moment)
            else:
                at_work = None
        if not withdrawn and at_work is None:
            return False
        changes: dict[str, object] = {}
        if entry.previous in withdrawn:
            changes["previous"] = None
        if entry.candidate_id is not None and at_work is not None:
            changes |= {"candidate": None, "rollout": None}
        if entry.serving in withdrawn or (entry.serving is None and at_work is not None):
            changes |= {
                "serving": None,
                "deployment_state": PluginEntry.DeploymentState.NONE,
                "activation_state": PluginEntry.ActivationState.INACTIVE,
                "status": PluginEntry.Status.AVAILABLE,
            }
            entry.schedules.all().delete()
            changes["stopped_at"] = moment
        elif at_work is not None:
            changes["activation_state"] = PluginEntry.ActivationState.ACTIVE
            changes["deployment_state"] = PluginEntry.DeploymentState.DEPLOYED
        for deployment in {one.pk: one for one in (*withdrawn, at_work and at_work.deployment) if one}.values():
            killswitch.end_calls(
                name, reason=reason, digest=deployment.entry_digest, worker=deployment.worker_id, withdrawn=True
            )
        registry.touch(entry, **changes)
        newest = entry.activations.order_by("-created_at", "-id").first()
        if newest is not None:
            note(newest, "stopped", reason, now=moment, code="plugin_blocked")
        audit.record("plugin.stop", target=f"plugin:{name}", actor=actor, reason=reason)
        return True

    stopped = registry.change(mutate)
    if stopped:
        logger.warning("plugin stopped", extra={"plugin": name, "reason": reason})
    return stopped
