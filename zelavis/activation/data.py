"""What a plugin leaves behind, and taking it away."""

from __future__ import annotations

from zelavis.models import CircuitBreaker, HookEvent, Schedule


def purge(plugin: str) -> dict[str, int]:
    """Delete everything kept for a plugin; how many of each kind. Idempotent.

    The ledger, the activations and the audit log stay: they are the installation's, not the plugin's.
    """
    from sandbox import data

    counts = dict(data.purge(plugin))
    counts["schedules"], _ = Schedule.objects.filter(entry__name=plugin).delete()
    counts["waiting events"], _ = HookEvent.objects.filter(plugin=plugin, finished_at=None).delete()
    CircuitBreaker.objects.filter(plugin=plugin).delete()
    return {kind: count for kind, count in counts.items() if count}
