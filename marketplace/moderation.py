"""Deeds about ratings: a curator hides what is abuse, and shows it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction

from marketplace import popularity, publishers, reasons
from marketplace.actors import Actor
from marketplace.errors import OwnRelease, RatingNotFound, WrongState
from marketplace.lookups import number
from marketplace.models import Rating
from zelavis import audit
from zelavis.errors import InvalidRequest


@dataclass(frozen=True, kw_only=True)
class RatingVerb:
    """One deed about a rating."""

    name: str
    label: str
    permission: str
    consequence: str
    #: Whether the rating is hidden after it; it starts from the opposite.
    hides: bool


VERBS: Mapping[str, RatingVerb] = {
    verb.name: verb
    for verb in (
        RatingVerb(
            name="hide",
            label="Hide",
            permission="marketplace.moderate_rating",
            consequence="It is not shown and does not count; whoever wrote it can change it, and it stays hidden.",
            hides=True,
        ),
        RatingVerb(
            name="show",
            label="Show again",
            permission="marketplace.moderate_rating",
            consequence="It is shown and counts again.",
            hides=False,
        ),
    )
}


def find(key: int | str) -> Rating:
    """A rating by its key.

    Raises:
        RatingNotFound: there is none.
    """
    known = number(key)
    found = Rating.objects.select_related("plugin", "plugin__publisher")
    rating = found.filter(pk=known).first() if known is not None else None
    if rating is None:
        raise RatingNotFound
    return rating


def possible(rating: Rating, actor: Actor) -> list[RatingVerb]:
    """What the actor may do to the rating now."""
    if publishers.is_own(rating.plugin.publisher, actor):
        return []
    return [verb for verb in VERBS.values() if verb.hides != rating.hidden and actor.may(verb.permission)]


def act(rating: Rating, name: str, *, actor: Actor, reason: str) -> Rating:
    """Do one deed.

    Raises:
        NotPermitted, ReasonRequired, InvalidRequest: as they say. OwnRelease: the plugin is of the actor's publisher,
        who does not choose what is said about it. WrongState: somebody did it already.
    """
    verb = VERBS.get(name)
    if verb is None:
        raise InvalidRequest(f"There is no verb {name[:40]!r}. Verbs: {', '.join(VERBS)}.")
    actor.require(verb.permission)
    reason = reasons.read(reason, needed=verb.label)
    if publishers.is_own(rating.plugin.publisher, actor):
        raise OwnRelease("Nobody decides what is said about their own plugin.")
    with transaction.atomic():
        # The condition is the claim: of two at once the second changes no row.
        if not Rating.objects.filter(pk=rating.pk, hidden=not verb.hides).update(hidden=verb.hides):
            raise WrongState(f"The rating is {'hidden' if verb.hides else 'shown'} already.", hidden=verb.hides)
        popularity.sum_up(rating.plugin)
        audit.record(
            f"rating.{name}",
            target=f"rating:{rating.plugin.name}#{rating.pk}",
            actor=actor.name,
            reason=reason,
            changes={"hidden": [not verb.hides, verb.hides]},
        )
    return find(rating.pk)
