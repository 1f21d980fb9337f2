"""Deeds about a whole plugin: listing, taking down, marking, and changing hands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from marketplace import curation, feed, ports, publishers, reasons
from marketplace.actors import Actor
from marketplace.errors import OwnRelease, PluginNotFound, WrongState
from marketplace.models import Plugin, Release, ReleaseState
from zelavis import audit
from zelavis.errors import InvalidRequest, ZelavisError


@dataclass(frozen=True, kw_only=True)
class PluginVerb:
    """One deed about a plugin."""

    name: str
    label: str
    permission: str
    consequence: str
    source: frozenset[str]
    target: str = ""
    #: What the form asks for beside the reason; empty: nothing.
    value: str = ""
    #: Whether the actor may not be of the publisher: what gives a plugin more is decided by others.
    not_own: bool = False


_ALIVE = frozenset((Plugin.State.LISTED, Plugin.State.DELISTED))
VERBS: Mapping[str, PluginVerb] = {
    verb.name: verb
    for verb in (
        PluginVerb(
            name="delist",
            label="Delist",
            permission="marketplace.takedown_plugin",
            consequence="It is not shown and cannot be found; installed copies stay.",
            source=frozenset((Plugin.State.LISTED,)),
            target=Plugin.State.DELISTED,
        ),
        PluginVerb(
            name="relist",
            label="List again",
            permission="marketplace.takedown_plugin",
            consequence="It is shown again.",
            source=frozenset((Plugin.State.DELISTED,)),
            target=Plugin.State.LISTED,
            not_own=True,
        ),
        PluginVerb(
            name="takedown",
            label="Take down",
            permission="marketplace.takedown_plugin",
            consequence="Every release stops wherever it is installed, its bytes go, and the name is taken for ever.",
            source=_ALIVE,
            target=Plugin.State.REMOVED,
        ),
        PluginVerb(
            name="deprecate",
            label="Deprecate",
            permission="marketplace.review_release",
            consequence="The listing says why nobody should begin to use it. An empty text takes that back.",
            source=_ALIVE,
            value="What to say, and what to use instead",
        ),
        PluginVerb(
            name="official",
            label="Mark as official",
            permission="marketplace.verify_publisher",
            consequence="The badge says that this platform vouches for it.",
            source=_ALIVE,
            not_own=True,
        ),
        PluginVerb(
            name="community",
            label="Mark as community",
            permission="marketplace.verify_publisher",
            consequence="The badge is taken away.",
            source=_ALIVE,
        ),
        PluginVerb(
            name="transfer",
            label="Transfer",
            permission="marketplace.transfer_plugin",
            consequence="Another publisher owns it; tokens end, and no site updates by itself until it consents anew.",
            source=_ALIVE,
            value="Slug of the new publisher",
            not_own=True,
        ),
    )
}


def get(name: str) -> Plugin:
    """A plugin by its name.

    Raises:
        PluginNotFound: there is none.
    """
    plugin = Plugin.objects.select_related("publisher", "latest").filter(name=name).first()
    if plugin is None:
        raise PluginNotFound(f"The marketplace has no plugin {name[:64]!r}.")
    return plugin


def possible(plugin: Plugin, actor: Actor) -> list[PluginVerb]:
    """What the actor may do to the plugin now."""
    own = publishers.is_own(plugin.publisher, actor)
    found = [verb for verb in VERBS.values() if plugin.state in verb.source and actor.may(verb.permission)]
    return [verb for verb in found if not (own and verb.not_own)]


def act(
    plugin: Plugin, name: str, *, actor: Actor, reason: str, value: str = "", now: datetime | None = None
) -> Plugin:
    """Do one deed.

    Raises:
        ZelavisError: NotPermitted, ReasonRequired, WrongState, InvalidRequest, or what the deed itself refuses.
    """
    moment, verb = now or timezone.now(), VERBS.get(name)
    if verb is None:
        raise InvalidRequest(f"There is no verb {name[:40]!r}. Verbs: {', '.join(VERBS)}.")
    actor.require(verb.permission)
    reason = reasons.read(reason, needed=verb.label)
    if verb.not_own and publishers.is_own(plugin.publisher, actor):
        raise OwnRelease("Nobody decides this about a plugin of their own publisher.")
    if "\0" in value:
        raise InvalidRequest("A value holds no NUL character.")
    if name == "transfer":
        from marketplace import transfers

        return transfers.decree(plugin, publishers.get(value.strip()), actor=actor, reason=reason, now=moment)
    with transaction.atomic():
        row = Plugin.objects.select_for_update().get(pk=plugin.pk)
        if row.state not in verb.source:
            raise WrongState(f"{verb.label} does not start from {row.get_state_display()}.", state=row.state)
        changes: dict[str, list[object]] = {}
        if verb.target:
            changes["state"] = [row.state, verb.target]
            row.state = verb.target
        elif name == "deprecate":
            changes["deprecation"] = [row.deprecation, value.strip()[:500]]
            row.deprecation = value.strip()[:500]
        else:
            changes["source"] = [row.source, name]
            row.source = name
        row.updated_at = moment
        row.save()
        audit.record(f"plugin.{name}", target=f"plugin:{row.name}", actor=actor.name, reason=reason, changes=changes)
    if name == "takedown":
        _take_down_releases(row, actor=actor, reason=reason, now=moment)
    return row


def _take_down_releases(plugin: Plugin, *, actor: Actor, reason: str, now: datetime) -> None:
    """Each release by its own verb, so that each has its own history. The name is closed before, so this may be
    continued: whatever is left is not installable either."""
    for release in Release.objects.filter(plugin=plugin).exclude(state=ReleaseState.REMOVED):
        try:
            curation.act(release, "takedown", actor=actor, reason=reason, now=now)
        except ZelavisError:
            with transaction.atomic():
                feed.append(release, action="remove", reason=reason, now=now)
                ports.tell(
                    ports.StateChange(
                        plugin=plugin.name,
                        version=release.version,
                        digest=release.digest,
                        action="remove",
                        reason=reason,
                        actor=actor.name,
                    )
                )
