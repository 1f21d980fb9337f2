"""The verbs of curation. Nobody sets a state: a verb checks who, from where, why and for which bytes.

Every verb takes the row's lock, compares the revision the actor saw, and writes state, history, audit row, listing and
feed in one transaction. Who comes second gets :class:`~marketplace.errors.ReviewConflict`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from marketplace import approvals, blobs, feed, history, listings, ports, publishers, reasons, reaudit, states
from marketplace.actors import Actor
from marketplace.audit import rows
from marketplace.errors import (
    AuditNotPassed,
    DigestMismatch,
    OwnRelease,
    ReleaseNotFound,
    ReviewConflict,
    WrongState,
)
from marketplace.models import Release, ReleaseState, ReviewEvent
from zelavis.errors import InvalidRequest

#: A claim that nobody used for this long is anybody's.
CLAIM_LASTS = timedelta(hours=8)
#: Verbs that decide; a live claim keeps others from them.
_DECISIONS = {"approve", "reject", "request_changes", "claim", "unclaim"}
#: Verb → what feed and listeners are told.
_TOLD = {"quarantine": "quarantine", "yank": "yank", "takedown": "remove", "unyank": "restore", "release": "restore"}


def find(release_id: str) -> Release:
    """A release by its id.

    Raises:
        ReleaseNotFound: there is none.
    """
    release = Release.objects.select_related("plugin__publisher", "publisher").filter(pk=release_id).first()
    if release is None:
        raise ReleaseNotFound
    return release


def possible(release: Release, actor: Actor, *, now: datetime) -> list[states.Verb]:
    """The verbs that the actor may do to the release now: what a page shows as buttons."""
    found = []
    own = _is_own(release, actor)
    for verb in states.VERBS.values():
        if release.state not in verb.source or (own and verb.not_own):
            continue
        allowed = (
            actor.may(verb.permission) if verb.permission else bool(publishers.role(release.plugin.publisher, actor))
        )
        if allowed and not (verb.name in _DECISIONS and _claimed_by_other(release, actor, now)):
            found.append(verb)
    return found


def act(
    release: Release | str,
    verb_name: str,
    *,
    actor: Actor,
    reason: str = "",
    revision: int | None = None,
    digest: str | None = None,
    now: datetime | None = None,
) -> Release:
    """Do one verb.

    Args:
        revision: the row's revision that the actor saw; another one now is a conflict. ``None``: whatever it is.
        digest: the bytes that the actor means; others are refused. Approving needs it.

    Raises:
        ZelavisError: what stands against it, by code. Nothing changed.
    """
    moment = now or timezone.now()
    verb = states.VERBS.get(verb_name)
    if verb is None:
        raise InvalidRequest(f"There is no verb {verb_name[:40]!r}. Verbs: {', '.join(states.VERBS)}.")
    text = reasons.read(reason)
    seen = find(release if isinstance(release, str) else release.pk)
    _check_actor(seen, verb, actor)
    text = reasons.read(text or verb.standing, needed=verb.label)
    if verb_name == "approve" or (verb_name in ("release", "unyank") and seen.approved_digest):
        # Outside of the transaction: bytes that changed or rules that are newer than the audit are found here.
        reaudit.if_stale(seen)
    with transaction.atomic():
        row = Release.objects.select_for_update().select_related("plugin", "publisher").get(pk=seen.pk)
        _check_state(row, verb, actor, revision=revision, digest=digest, now=moment)
        before = row.state
        _HANDLERS.get(verb_name, _move)(row, verb, actor, text, moment)
        _count_author_time(row, before, moment)
        if row.state != before:
            row.state_changed_at = moment
        if verb.target or verb_name == "release":
            row.revision += 1
        row.save()
        changes = {"digest": [None, row.digest]} if verb_name == "approve" else {}
        history.write(
            row, verb_name, actor=actor, now=moment, text=text, before=before, after=row.state,
            public=verb_name != "note", changes=changes,
        )  # fmt: skip
        if row.state != before:
            _spread(row, verb_name, before, actor=actor, reason=text, now=moment)
    return row


def _check_actor(release: Release, verb: states.Verb, actor: Actor) -> None:
    # A plugin that changed hands is its new owner's, with every release of the one before.
    owner = release.plugin.publisher
    if verb.permission:
        # Yanking one's own release is a publisher's right, without any permission.
        if not (verb.name == "yank" and publishers.role(owner, actor, plugin=release.plugin.name)):
            actor.require(verb.permission)
    else:
        publishers.require_member(owner, actor, plugin=release.plugin.name)
    if verb.not_own and _is_own(release, actor):
        raise OwnRelease


def _is_own(release: Release, actor: Actor) -> bool:
    """Whether the actor stands on the side of the release: of the publisher that made it, or of the one that owns the
    plugin now, or left one of them since the release came in."""
    sides = {one.pk: one for one in (release.publisher, release.plugin.publisher)}.values()
    return _submitted(release, actor) or any(
        publishers.is_own(side, actor) or publishers.has_left(side, actor, since=release.submitted_at) for side in sides
    )


def _submitted(release: Release, actor: Actor) -> bool:
    if actor.is_system:
        return False
    if actor.user is not None and release.submitted_by_id == actor.user.pk:
        return True
    return release.submitted_actor in (actor.name, actor.identity)


def _check_state(
    row: Release, verb: states.Verb, actor: Actor, *, revision: int | None, digest: str | None, now: datetime
) -> None:
    if revision is not None and revision != row.revision:
        raise ReviewConflict("The release changed since you looked at it.", revision=row.revision, state=row.state)
    if digest is not None and digest != row.digest:
        raise DigestMismatch("You decided about other bytes than those of the release.", digest=row.digest)
    if row.state not in verb.source:
        raise WrongState(f"{verb.label} does not start from {row.get_state_display()}.", state=row.state)
    if verb.name in _DECISIONS and _claimed_by_other(row, actor, now):
        raise ReviewConflict(f"{row.claimed_by} reviews this release.", claimedBy=row.claimed_by)


def _claimed_by_other(release: Release, actor: Actor, now: datetime) -> bool:
    live = release.claimed_at is not None and now - release.claimed_at < CLAIM_LASTS
    return bool(release.claimed_by) and live and release.claimed_by != actor.identity


def _move(row: Release, verb: states.Verb, actor: Actor, text: str, now: datetime) -> None:
    if verb.target:
        row.state = verb.target
        row.claimed_by, row.claimed_at = "", None


def _claim(row: Release, verb: states.Verb, actor: Actor, text: str, now: datetime) -> None:
    row.state, row.claimed_by, row.claimed_at = verb.target, actor.identity, now


def _approve(row: Release, verb: states.Verb, actor: Actor, text: str, now: datetime) -> None:
    lacking = rows.missing(row)
    if lacking or row.audit_state != "passed":
        raise AuditNotPassed(f"No passing row of: {', '.join(lacking) or row.audit_state}.", missing=lacking)
    if approvals.add(row, actor, reason=text, now=now):
        row.state = ReleaseState.APPROVED
        row.approved_digest, row.approved_at = row.digest, now
        approvals.sign_record(row, actor=actor, now=now)
    else:
        row.state = ReleaseState.IN_REVIEW
    row.claimed_by, row.claimed_at = "", None


def _offer_again(row: Release, verb: states.Verb, actor: Actor, text: str, now: datetime) -> None:
    row.state = _state_before_quarantine(row) if verb.name == "release" else verb.target
    if row.state == ReleaseState.APPROVED:
        lacking = rows.missing(row)
        if lacking or row.audit_state != "passed" or row.approved_digest != row.digest:
            raise AuditNotPassed("It does not pass the audit any more.", missing=lacking)


def _state_before_quarantine(row: Release) -> str:
    event = ReviewEvent.objects.filter(release=row, verb="quarantine").order_by("-created_at", "-id").first()
    before = event.before if event else ReleaseState.SUBMITTED
    # A claim did not survive; the release stands in the queue again.
    return ReleaseState.SUBMITTED if before == ReleaseState.IN_REVIEW else before


def _take_down(row: Release, verb: states.Verb, actor: Actor, text: str, now: datetime) -> None:
    row.state = verb.target
    row.icon, row.claimed_by, row.claimed_at = None, "", None
    others = Release.objects.exclude(pk=row.pk).exclude(state=ReleaseState.REMOVED)
    for digest in {row.digest, row.entry_digest}:
        if not others.filter(digest=digest).exists() and not others.filter(entry_digest=digest).exists():
            blobs.drop(digest)


_HANDLERS = {
    "claim": _claim,
    "approve": _approve,
    "release": _offer_again,
    "unyank": _offer_again,
    "takedown": _take_down,
}


def _count_author_time(row: Release, before: str, now: datetime) -> None:
    if before == ReleaseState.CHANGES_REQUESTED and row.state != before:
        row.author_seconds += max(0, int((now - row.state_changed_at).total_seconds()))


def _spread(row: Release, verb: str, before: str, *, actor: Actor, reason: str, now: datetime) -> None:
    """What follows from a new state elsewhere: the listing, the feed, and whoever runs it."""
    offered = (ReleaseState.APPROVED, ReleaseState.YANKED)
    if before in offered or row.state in offered:
        listings.refresh(row.plugin, now=now)
    action = _TOLD.get(verb)
    if action and row.approved_at is not None and not (verb == "release" and row.state not in offered):
        if row.state == ReleaseState.YANKED:
            action = "yank"
        feed.append(row, action=action, reason=reason, now=now)
        ports.tell(
            ports.StateChange(
                plugin=row.plugin.name,
                version=row.version,
                digest=row.digest,
                action=action,
                reason=reason,
                actor=actor.name,
            )
        )
