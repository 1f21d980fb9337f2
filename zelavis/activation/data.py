"""What a plugin leaves behind, and taking it away."""

from __future__ import annotations

from django.apps import apps
from django.core.files.storage import default_storage

from sandbox.models import PluginBlob
from zelavis.models import CircuitBreaker, HookEvent, Schedule

#: The record of what happened is the installation's, not the plugin's.
_KEPT = frozenset({"invocation", "tape"})


def purge(plugin: str) -> dict[str, int]:
    """Delete everything kept for a plugin; how many of each kind. Idempotent.

    The ledger, the tapes, the activations and the audit log stay.
    """
    counts: dict[str, int] = {}
    for file in PluginBlob.objects.filter(plugin=plugin).values_list("file", flat=True):
        default_storage.delete(file)
    for model in apps.get_app_config("sandbox").get_models():
        columns = {field.name for field in model._meta.concrete_fields}
        if "plugin" in columns and model._meta.model_name not in _KEPT:
            deleted, _ = model._default_manager.filter(plugin=plugin).delete()
            counts[str(model._meta.verbose_name_plural)] = deleted
    counts["schedules"], _ = Schedule.objects.filter(entry__name=plugin).delete()
    counts["waiting events"], _ = HookEvent.objects.filter(plugin=plugin, finished_at=None).delete()
    CircuitBreaker.objects.filter(plugin=plugin).delete()
    return {kind: count for kind, count in counts.items() if count}
