"""Updates that need nobody: only where a policy says so, and never to more than was consented to."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from marketplace import releases, rollouts
from marketplace.models import Plugin, Release, UpdatePolicy
from zelavis import querysets
from zelavis.activation import intents, rehearsal
from zelavis.errors import ConsentRequired, SettingsRequired, ZelavisError
from zelavis.models import Activation, Heartbeat, PluginEntry

logger = logging.getLogger("zelavis.activation")
#: How often the marketplace is asked.
EVERY = timedelta(minutes=10)
_NAME = "automatic updates"
_Kind = PluginEntry.Wait
_KINDS = {
    rollouts.CHANGED_HANDS: _Kind.OWNER,
    rollouts.ASKS_FOR_MORE: _Kind.CONSENT,
    rollouts.NOT_SIGNED: _Kind.SIGNATURE,
}


@dataclass(frozen=True)
class Wait:
    """What keeps an update from happening by itself, and which."""

    kind: str
    text: str
    version: str
    #: When it goes on without anybody; ``None``: nobody can say.
    at: datetime | None = None

    def columns(self) -> dict[str, object]:
        """As the entry keeps it."""
        return {
            "update_wait": str(self.kind),
            "update_waits": self.text[:300],
            "update_version": self.version,
            "update_at": self.at,
        }


def sweep(*, now: datetime | None = None) -> list[Activation]:
    """Update what may update itself; the attempts made. A version that failed once is not tried again."""
    moment = now or timezone.now()
    Heartbeat.objects.update_or_create(name=_NAME, defaults={"seen_at": moment})
    made = []
    for entry in PluginEntry.objects.exclude(serving=None):
        waits: Wait | None = None
        version = ""
        try:
            version, waits = _newer(entry, now=moment)
            if version:
                made.append(
                    intents.update(
                        entry.name, version=version, actor="system", reason="Automatic update by policy.", now=now
                    )
                )
        except ConsentRequired as error:
            waits = Wait(_Kind.CONSENT, error.message, version)
        except SettingsRequired as error:
            waits = Wait(_Kind.SETTINGS, error.message, version)
        except ZelavisError as error:
            logger.info("no automatic update", extra={"plugin": entry.name, "code": error.code})
        columns = waits.columns() if waits is not None else PluginEntry.NO_WAIT
        if any(getattr(entry, name) != value for name, value in columns.items()):
            # Not a change of the registry: nobody is called differently for it. Only while the same version serves:
            # whoever brought another one meanwhile wrote down that nothing waits.
            PluginEntry.objects.filter(pk=entry.pk, serving=entry.serving_id).update(**columns)
    return made


def seconds_until_next() -> float | None:
    """For beat: when to ask again; ``None`` while no policy lets anything update itself and nothing is said to wait."""
    if not UpdatePolicy.objects.filter(automatic=True).exists() and not querysets.updates_waiting().exists():
        return None
    seen = Heartbeat.objects.filter(name=_NAME).values_list("seen_at", flat=True).first()
    return 0.0 if seen is None else (seen + EVERY - timezone.now()).total_seconds()


def _newer(entry: PluginEntry, *, now: datetime) -> tuple[str, Wait | None]:
    """The version to update to; else, if one waits, what for."""
    serving = entry.serving
    release = Release.objects.filter(pk=serving.release).first() if serving is not None and serving.release else None
    plugin = Plugin.objects.filter(name=entry.name).first()
    if serving is None or release is None or plugin is None or entry.blocked:
        return "", None
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
        return "", _wait(plugin, why, now=now)
    version = str(candidate.version)
    if entry.activations.filter(deployment__version=version, state=Activation.State.FAILED).exists():
        return "", None
    wanted = rollouts.policy(plugin).shadow_tapes
    there = len(rehearsal.tapes(serving, most=wanted)) if wanted else 0
    if there < wanted:
        # Too few recordings to rehearse with: not failed, only not yet.
        return "", Wait(_Kind.RECORDINGS, f"{there} of the {wanted} recorded calls to rehearse with.", version)
    return version, None


def _wait(plugin: Plugin, why: str, *, now: datetime) -> Wait | None:
    """Why the newest release waits; nothing when there is none, or updates are made by hand."""
    cools = why.startswith(rollouts.COOLS_DOWN)
    if not cools and why not in _KINDS:
        return None
    newest = releases.installable(plugin.name, now=now)
    at = rollouts.ripe_at(newest, rollouts.policy(plugin)) if cools else None
    return Wait(_Kind.COOLDOWN if cools else _KINDS[why], f"{why[0].upper()}{why[1:]}.", str(newest.version), at)
