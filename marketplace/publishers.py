"""Publishers and their people: who may publish under which name."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from marketplace import ports, reasons
from marketplace.actors import Actor
from marketplace.errors import (
    NotAMember,
    NotPermitted,
    OwnRelease,
    PublisherExists,
    PublisherNotFound,
    PublisherSuspended,
)
from marketplace.models import Membership, Plugin, Publisher, PublisherToken
from zelavis import audit
from zelavis.errors import Conflict, InvalidRequest, Unavailable

SLUG = re.compile(r"[a-z][a-z0-9-]{1,62}[a-z0-9]")
#: As the links of a manifest: a name before an @ reads like another host.
_WEBSITE = re.compile(r"https?://[^\s<>\"'\\/@?#]+([/?#][^\s<>\"'\\]*)?")
#: Days that a publisher's token lives at most.
MAX_TOKEN_DAYS = 366
RESERVED = frozenset(("zelavis", "official", "admin", "system", "anonymous", "marketplace"))


def create(slug: str, *, name: str, actor: Actor, website: str = "") -> Publisher:
    """Found a publisher; whoever does is its first owner.

    Raises:
        InvalidRequest: not a slug. PublisherExists: taken. NotPermitted: a token that nobody owns, without the scope.
    """
    if not SLUG.fullmatch(slug) or "--" in slug or len(name) > 100 or not name.strip() or not name.isprintable():
        raise InvalidRequest("A publisher needs a slug of 3 to 64 letters, digits and hyphens, and a name.")
    if website and (not _WEBSITE.fullmatch(website) or len(website) > 200):
        raise InvalidRequest("A website is an http or https URL without a name or password in it.")
    if slug in RESERVED and not actor.is_system:
        raise PublisherExists(f"{slug} is reserved.")
    if not actor.is_person and not actor.is_system:
        raise NotPermitted("A publisher needs a person: use a token that belongs to somebody.")
    try:
        with transaction.atomic():
            publisher = Publisher.objects.create(slug=slug, name=name.strip(), website=website)
            if actor.user is not None:
                Membership.objects.create(publisher=publisher, user=actor.user, role=Membership.Role.OWNER)
            audit.record("publisher.create", target=f"publisher:{slug}", actor=actor.name)
    except IntegrityError:
        raise PublisherExists(f"The publisher {slug} exists.") from None
    return publisher


def get(slug: str) -> Publisher:
    """A publisher by its slug.

    Raises:
        PublisherNotFound: there is none.
    """
    publisher = Publisher.objects.filter(slug=slug).first()
    if publisher is None:
        raise PublisherNotFound(f"There is no publisher {slug[:64]!r}.")
    return publisher


def role(publisher: Publisher, actor: Actor, *, plugin: str = "") -> str:
    """``owner``, ``maintainer`` or nothing: what the actor is to the publisher, for one of its plugins.

    A token bound to a publisher acts for that one alone, a token bound to a plugin for that plugin alone; both as a
    maintainer, whoever owns them. A suspended account, an expired or a revoked binding is nothing.
    """
    if actor.is_system:
        return Membership.Role.OWNER
    if actor.token_prefix:
        bound = PublisherToken.objects.select_related("plugin").filter(prefix=actor.token_prefix).first()
        if bound is not None:
            live = bound.revoked_at is None and bound.expires_at > timezone.now()
            fits = bound.publisher_id == publisher.pk and (bound.plugin is None or bound.plugin.name == plugin)
            return Membership.Role.MAINTAINER if live and fits else ""
    if actor.user is None or not actor.user.is_active:
        return ""
    membership = Membership.objects.filter(publisher=publisher, user=actor.user).first()
    return membership.role if membership else ""


def is_own(publisher: Publisher, actor: Actor) -> bool:
    """Whether the actor is of the publisher in any way. The platform is of none: it only seeds."""
    if actor.is_system:
        return False
    bound = PublisherToken.objects.filter(prefix=actor.token_prefix, publisher=publisher).exists()
    return bound or (
        actor.user is not None and Membership.objects.filter(publisher=publisher, user=actor.user).exists()
    )


def has_left(publisher: Publisher, actor: Actor, *, since: datetime) -> bool:
    """Whether the person was taken off the publisher, or left it, after a moment: as the audit log tells."""
    if actor.user is None:
        return False
    events = audit.events().filter(
        action="publisher.member", target=f"publisher:{publisher.slug}", created_at__gte=since
    )
    name = actor.user.get_username()
    return any(name in changes and changes[name][1] is None for changes in events.values_list("changes", flat=True))


def require_member(publisher: Publisher, actor: Actor, *, plugin: str = "", owner: bool = False) -> None:
    """Raises NotAMember when the actor is not (an owner) of the publisher."""
    held = role(publisher, actor, plugin=plugin)
    if not held or (owner and held != Membership.Role.OWNER):
        raise NotAMember(
            f"Only {'owners' if owner else 'people'} of {publisher.slug} may do this.", publisher=publisher.slug
        )


def require_publishing(plugin: str, actor: Actor) -> None:
    """Before anything is fetched for somebody: they are of the plugin's publisher, or of any where it is new.

    Raises:
        NotAMember: they are not.
    """
    known = Plugin.objects.select_related("publisher").filter(name=plugin).first()
    if known is not None:
        require_member(known.publisher, actor, plugin=plugin)
        return
    bound = PublisherToken.objects.filter(prefix=actor.token_prefix).select_related("publisher").first()
    publishes = (
        role(bound.publisher, actor, plugin=plugin)
        if bound is not None
        else actor.user is not None and Membership.objects.filter(user=actor.user).exists()
    )
    if not publishes:
        raise NotAMember("Only people of a publisher may do this.")


def require_active(publisher: Publisher) -> None:
    """Raises PublisherSuspended."""
    if publisher.state != Publisher.State.ACTIVE:
        raise PublisherSuspended(f"The publisher {publisher.slug} is suspended.")


def add_member(publisher: Publisher, user: Any, *, role: str, actor: Actor) -> Membership:
    """Add a person, or change what they may do.

    Raises:
        NotAMember: the actor is no owner. Conflict: it would leave no owner.
    """
    require_member(publisher, actor, owner=True)
    if role not in Membership.Role.values:
        raise InvalidRequest(f"A role is one of {', '.join(Membership.Role.values)}.")
    with transaction.atomic():
        _lock(publisher)
        before = Membership.objects.filter(publisher=publisher, user=user).first()
        if before and before.role == Membership.Role.OWNER and role != Membership.Role.OWNER:
            _require_another_owner(publisher, user)
        membership, _ = Membership.objects.update_or_create(publisher=publisher, user=user, defaults={"role": role})
        audit.record(
            "publisher.member",
            target=f"publisher:{publisher.slug}",
            actor=actor.name,
            changes={user.get_username(): [before.role if before else None, role]},
        )
    return membership


def remove_member(publisher: Publisher, user: Any, *, actor: Actor) -> None:
    """Take a person off; the tokens that person made for the publisher end with it.

    Raises:
        NotAMember: the actor is no owner. Conflict: it would leave no owner.
    """
    if actor.user != user:
        require_member(publisher, actor, owner=True)
    with transaction.atomic():
        _lock(publisher)
        membership = Membership.objects.filter(publisher=publisher, user=user).first()
        if membership is None:
            raise PublisherNotFound(f"{user.get_username()} is not of {publisher.slug}.")
        if membership.role == Membership.Role.OWNER:
            _require_another_owner(publisher, user)
        membership.delete()
        revoke_tokens(publisher, actor=actor, created_by=f"user:{user.get_username()}")
        audit.record(
            "publisher.member",
            target=f"publisher:{publisher.slug}",
            actor=actor.name,
            changes={user.get_username(): [membership.role, None]},
        )


def _lock(publisher: Publisher) -> None:
    """Two owners who take each other off at the same time must not both succeed."""
    Publisher.objects.select_for_update().get(pk=publisher.pk)


def _require_another_owner(publisher: Publisher, user: Any) -> None:
    others = Membership.objects.filter(publisher=publisher, role=Membership.Role.OWNER).exclude(user=user)
    if not others.exists():
        raise Conflict("A publisher keeps at least one owner.")


def make_token(
    publisher: Publisher, *, name: str, actor: Actor, days: int, plugin: Plugin | None = None
) -> tuple[PublisherToken, str]:
    """A token that publishes for this publisher, or for one plugin of it. The secret form is shown once.

    Raises:
        NotAMember: the actor is no owner. InvalidRequest: name or life. Unavailable: no core is there to make tokens.
    """
    require_member(publisher, actor, owner=True)
    if not 1 <= days <= MAX_TOKEN_DAYS or not name.strip() or len(name) > 100:
        raise InvalidRequest(f"A token needs a name, and a life of 1 to {MAX_TOKEN_DAYS} days.")
    if plugin is not None and plugin.publisher_id != publisher.pk:
        raise NotAMember(f"{plugin.name} is not of {publisher.slug}.")
    if not ports.MAKE_TOKEN:
        raise Unavailable("Tokens cannot be made here.")
    expires = timezone.now() + timedelta(days=days)
    with transaction.atomic():
        prefix, secret = ports.MAKE_TOKEN[0](
            name=f"{publisher.slug}: {name.strip()}"[:100],
            scopes=["marketplace:publish"],
            owner=actor.user,
            expires_at=expires,
        )
        token = PublisherToken.objects.create(
            prefix=prefix,
            name=name.strip(),
            publisher=publisher,
            plugin=plugin,
            created_by=actor.identity,
            expires_at=expires,
        )
        audit.record(
            "publisher.token.create",
            target=f"publisher:{publisher.slug}",
            actor=actor.name,
            changes={"token": [None, prefix], "plugin": [None, plugin.name if plugin else "*"]},
        )
    return token, secret


def revoke_tokens(
    publisher: Publisher, *, actor: Actor, created_by: str = "", plugin: Plugin | None = None, prefix: str = ""
) -> int:
    """End tokens of a publisher: all of them, those that one person made, those of one plugin, or one. Counts them."""
    tokens = PublisherToken.objects.filter(publisher=publisher, revoked_at=None)
    if created_by:
        tokens = tokens.filter(created_by=created_by)
    if plugin is not None:
        tokens = tokens.filter(plugin=plugin)
    if prefix:
        tokens = tokens.filter(prefix=prefix)
    with transaction.atomic():
        ended = list(tokens)
        tokens.update(revoked_at=timezone.now())
        for token in ended:
            for revoke in ports.REVOKE_TOKEN:
                revoke(token.prefix)
            audit.record(
                "publisher.token.revoke",
                target=f"publisher:{publisher.slug}",
                actor=actor.name,
                changes={"token": [token.prefix, None]},
            )
    return len(ended)


def set_state(
    publisher: Publisher, *, state: str | None = None, verified: bool | None = None, actor: Actor, reason: str
) -> None:
    """Suspend, restore, verify: deeds of curators. ``None`` leaves as it is.

    Raises:
        NotPermitted, ReasonRequired: without the permission or a reason. OwnRelease: the actor is of the publisher.
        InvalidRequest: no such state, or nothing to do.
    """
    actor.require("marketplace.verify_publisher")
    reason = reasons.read(reason, needed="This")
    if is_own(publisher, actor):
        raise OwnRelease("Nobody decides about their own publisher.")
    if state is None and verified is None:
        raise InvalidRequest("Say which state, or whether it is verified.")
    if state is not None and state not in Publisher.State.values:
        raise InvalidRequest(f"A state is one of {', '.join(Publisher.State.values)}.")
    with transaction.atomic():
        before = Publisher.objects.select_for_update().get(pk=publisher.pk)
        state = state or before.state
        changes = {"state": [before.state, state]}
        if verified is not None:
            changes["verified"] = [before.verified, verified]  # type: ignore[list-item]
            before.verified = verified
        before.state = state
        before.save(update_fields=["state", "verified"])
        if state == Publisher.State.SUSPENDED:
            revoke_tokens(before, actor=actor)
        audit.record(
            "publisher.state",
            target=f"publisher:{publisher.slug}",
            actor=actor.name,
            reason=reason,
            changes={name: pair for name, pair in changes.items() if pair[0] != pair[1]},
        )
