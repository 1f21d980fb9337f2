"""Plugins that change hands. A new owner is a new publisher to every site: updates stop until each consents anew."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from marketplace import publishers, reasons
from marketplace.actors import Actor
from marketplace.errors import OwnRelease, TransferNotFound
from marketplace.models import Plugin, Publisher, Release, ReleaseState, Transfer
from zelavis import audit
from zelavis.errors import Conflict


def offer(plugin: Plugin, target: Publisher, *, actor: Actor, reason: str, now: datetime | None = None) -> Transfer:
    """An owner offers a plugin to another publisher.

    Raises:
        NotAMember: the actor is no owner. Conflict: it is offered already, or to itself. ReasonRequired.
        PublisherSuspended: one of the two is; from such a one only a curator moves a plugin.
    """
    publishers.require_member(plugin.publisher, actor, owner=True)
    publishers.require_active(plugin.publisher)
    publishers.require_active(target)
    reason = reasons.read(reason, needed="A transfer")
    if target.pk == plugin.publisher_id:
        raise Conflict(f"{plugin.name} belongs to {target.slug}.")
    try:
        with transaction.atomic():
            transfer = Transfer.objects.create(
                plugin=plugin,
                source=plugin.publisher,
                target=target,
                reason=reason,
                offered_by=actor.name,
                created_at=now or timezone.now(),
            )
            _record("plugin.transfer.offer", plugin, actor, reason, plugin.publisher.slug, target.slug)
    except IntegrityError:
        raise Conflict(f"{plugin.name} is offered already.") from None
    return transfer


def accept(plugin: Plugin, *, actor: Actor, now: datetime | None = None) -> Plugin:
    """An owner of the publisher it was offered to takes it over.

    Raises:
        TransferNotFound: nothing is offered. NotAMember: the actor is no owner there. PublisherSuspended: one of the
        two is.
    """
    moment = now or timezone.now()
    with transaction.atomic():
        transfer = _open(plugin)
        publishers.require_member(transfer.target, actor, owner=True)
        publishers.require_active(transfer.source)
        publishers.require_active(transfer.target)
        return _move(transfer, actor=actor, now=moment)


def withdraw(plugin: Plugin, *, actor: Actor, now: datetime | None = None) -> Transfer:
    """Either side ends the offer.

    Raises:
        TransferNotFound: nothing is offered. NotAMember: the actor is an owner of neither.
    """
    with transaction.atomic():
        transfer = _open(plugin)
        if publishers.role(transfer.target, actor) != "owner":
            publishers.require_member(transfer.source, actor, owner=True)
        transfer.state, transfer.closed_at = Transfer.State.WITHDRAWN, now or timezone.now()
        transfer.save(update_fields=["state", "closed_at"])
        _record("plugin.transfer.withdraw", plugin, actor, "", transfer.source.slug, transfer.source.slug)
    return transfer


def decree(plugin: Plugin, target: Publisher, *, actor: Actor, reason: str, now: datetime) -> Plugin:
    """A curator moves a plugin, for example from a publisher that is gone; never to or from their own."""
    actor.require("marketplace.transfer_plugin")
    if publishers.is_own(target, actor) or publishers.is_own(plugin.publisher, actor):
        raise OwnRelease("Nobody gives a plugin to their own publisher, nor takes one from it: offer and accept it.")
    publishers.require_active(target)
    if target.pk == plugin.publisher_id:
        raise Conflict(f"{plugin.name} belongs to {target.slug}.")
    with transaction.atomic():
        for offered in Transfer.objects.filter(plugin=plugin, state=Transfer.State.OFFERED):
            offered.state, offered.closed_at = Transfer.State.WITHDRAWN, now
            offered.save(update_fields=["state", "closed_at"])
        transfer = Transfer.objects.create(
            plugin=plugin,
            source=plugin.publisher,
            target=target,
            reason=reason,
            offered_by=actor.name,
            created_at=now,
        )
        return _move(transfer, actor=actor, now=now)


def _open(plugin: Plugin) -> Transfer:
    transfer = (
        Transfer.objects.select_for_update(of=("self",))
        .select_related("source", "target")
        .filter(plugin=plugin, state=Transfer.State.OFFERED)
        .first()
    )
    if transfer is None:
        raise TransferNotFound(f"{plugin.name} is not offered to anybody.")
    return transfer


def _move(transfer: Transfer, *, actor: Actor, now: datetime) -> Plugin:
    waiting = (ReleaseState.SUBMITTED, ReleaseState.IN_REVIEW, ReleaseState.CHANGES_REQUESTED)
    withdrawn = Release.objects.filter(plugin_id=transfer.plugin_id, state__in=waiting).select_for_update()
    # Releases before their plugin, as curation locks them; what was decided a moment ago stays decided.
    list(withdrawn)
    plugin = Plugin.objects.select_for_update().get(pk=transfer.plugin_id)
    publishers.revoke_tokens(transfer.source, actor=actor, plugin=plugin)
    plugin.publisher = transfer.target
    plugin.ownership += 1
    plugin.transferred_at = plugin.updated_at = now
    # What vouched for the old owner says nothing of the new one.
    plugin.source = Plugin.Source.COMMUNITY
    plugin.save()
    # Asked again: one more may have come in before the plugin was locked.
    for release in withdrawn.all():
        from marketplace import history

        before = release.state
        release.state, release.state_changed_at, release.revision = ReleaseState.WITHDRAWN, now, release.revision + 1
        release.save(update_fields=["state", "state_changed_at", "revision"])
        history.write(
            release,
            "withdraw",
            actor=actor,
            now=now,
            text="The plugin changed hands.",
            before=before,
            after=release.state,
        )
    transfer.state, transfer.accepted_by, transfer.closed_at = Transfer.State.ACCEPTED, actor.name, now
    transfer.save(update_fields=["state", "accepted_by", "closed_at"])
    _record("plugin.transfer", plugin, actor, transfer.reason, transfer.source.slug, transfer.target.slug)
    return plugin


def _record(action: str, plugin: Plugin, actor: Actor, reason: str, before: str, after: str) -> None:
    audit.record(
        action,
        target=f"plugin:{plugin.name}",
        actor=actor.name,
        reason=reason,
        changes={"publisher": [before, after]},
    )
