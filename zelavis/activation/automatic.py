"""Updates that need nobody: only where a policy says so, and never to more than was consented to."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta

from django.utils import timezone

from marketplace import rollouts
from marketplace.models import Plugin, Release, UpdatePolicy
from zelavis.activation import intents, rehearsal
from zelavis.errors import ConsentRequired, SettingsRequired, ZelavisError
from zelavis.models import Activation, Heartbeat, PluginEntry

logger = logging.getLogger("zelavis.activation")
#: How often the marketplace is asked.
EVERY = timedelta(minutes=10)
_NAME = "automatic updates"


def sweep(*, now: datetime | None = None) -> list[Activation]:
    """Update what may update itself; the attempts made. A version that failed once is not tried again."""
    moment = now or timezone.now()
    Heartbeat.objects.update_or_create(name=_NAME, defaults={"seen_at": moment})
    made = []
    for entry in PluginEntry.objects.filter(serving__isnull=False, blocked="").exclude(serving__release=""):
        waits = ""
        try:
            version, waits = _newer(entry, now=moment)
            if version is not None:
                made.append(
                    intents.update(
                        entry.name, version=version, actor="system", reason="Automatic update by policy.", now=now
                    )
                )
        except (ConsentRequired, SettingsRequired) as error:
            waits = error.message
        except ZelavisError as error:
            logger.info("no automatic update", extra={"plugin": entry.name, "code": error.code})
        if waits != entry.update_waits:
            # Not a change of the registry: nobody is called differently for it.
            PluginEntry.objects.filter(pk=entry.pk).update(update_waits=waits[:300])
    return made


def seconds_until_next() -> float | None:
    """For beat: when to ask again; ``None`` while no policy lets anything update itself."""
    if not UpdatePolicy.objects.filter(automatic=True).exists():
        return None
    seen = Heartbeat.objects.filter(name=_NAME).values_list("seen_at", flat=True).first()
    return 0.0 if seen is None else (seen + EVERY - timezone.now()).total_seconds()


def _newer(entry: PluginEntry, *, now: datetime) -> tuple[str | None, str]:
    """The version to update to, and what a person has to do first."""
    serving = entry.serving
    release = None if serving is None else Release.objects.filter(pk=serving.release).first()
    plugin = Plugin.objects.filter(name=entry.name).first()
    if serving is None or release is None or plugin is None:
        return None, ""
    rule = rollouts.policy(plugin)
    if len(rehearsal.tapes(serving, most=rule.shadow_tapes)) < rule.shadow_tapes:
        # Too few recordings to rehearse with: not failed, only not yet.
        return None, ""
    # Consent given before the plugin changed hands was given to another owner.
    moved = plugin.transferred_at is not None and (
        serving.consented_at is None or plugin.transferred_at > serving.consented_at
    )
    candidate, why = rollouts.may_update_itself(
        plugin,
        release,
        consented=json.loads(serving.grants),
        ownership=plugin.ownership - 1 if moved else plugin.ownership,
        now=now,
    )
    if candidate is None:
        logger.debug("no automatic update", extra={"plugin": entry.name, "reason": why})
        return None, f"{why[0].upper()}{why[1:]}." if why in rollouts.NEEDS_A_PERSON else ""
    tried = entry.activations.filter(deployment__version=candidate.version, state=Activation.State.FAILED).exists()
    return (None if tried else str(candidate.version)), ""
