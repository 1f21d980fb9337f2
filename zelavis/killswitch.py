"""The kill switch: end calls that run while their plugin is stopped, withdrawn or uninstalled.

In the process of the deed they end with its commit; every other process asks :func:`must_end` about its long calls,
four times a second (``sandbox.interrupts``); a worker elsewhere is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from django.db import transaction

from marketplace.models import Release, ReleaseState
from sandbox import interrupts
from zelavis import doorbell
from zelavis.models import PluginEntry

#: States of a release whose code must not run, not even again.
WITHDRAWN = frozenset({ReleaseState.QUARANTINED, ReleaseState.REJECTED, ReleaseState.REMOVED})


def end_calls(
    plugin: str, *, reason: str, digest: str = "", worker: int | None = None, withdrawn: bool = False
) -> None:
    """End the calls that run now, once the present transaction stands; of one version, or of all.

    Args:
        worker: of a dispatch namespace, which is told as well.
        withdrawn: that worker must not take calls for it again either.
    """
    transaction.on_commit(partial(interrupts.interrupt, reason=reason, plugin=plugin, digest=digest or None))
    if worker is not None:
        doorbell.ring(
            "zelavis.tasks.stop_at_worker", str(worker), plugin, digest, "withdrawn" if withdrawn else "blocked"
        )


def must_end(running: Sequence[interrupts.Running]) -> Mapping[str, str]:
    """Which of these calls must not go on: a watch of ``sandbox.interrupts``.

    Lifecycle hooks run before a plugin serves and after it did; only a stop that came after their start ends them. A
    process without a registry (a plugin worker) knows no entry and ends nothing by itself.
    """
    entries = {
        entry.name: entry for entry in PluginEntry.objects.filter(name__in={one.plugin for one in running})
    }  # fmt: skip
    gone = set(
        Release.objects.filter(entry_digest__in={one.digest for one in running}, state__in=WITHDRAWN).values_list(
            "plugin__name", "entry_digest"
        )
    )
    told = {}
    for one in running:
        entry = entries.get(one.plugin)
        if entry is None:
            continue
        if (one.plugin, one.digest) in gone:
            told[one.id] = "This version was withdrawn."
        elif entry.stopped_at is not None and one.started_at < entry.stopped_at:
            told[one.id] = f"The plugin was stopped{f': {entry.blocked}' if entry.blocked else '.'}"
        elif not one.hook.startswith("plugin:") and (entry.serving_id is None or entry.blocked):
            told[one.id] = "The plugin does not serve any more."
    return told
