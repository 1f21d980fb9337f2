"""Which verb leads from which state to which: the whole life of a release in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from marketplace.models import ReleaseState as S


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One deed of curation."""

    name: str
    #: States it starts from.
    source: frozenset[str]
    #: State it leads to; empty: it stays.
    target: str
    #: Django permission; empty: a person of the publisher does it.
    permission: str
    #: What is recorded where the actor gives no reason; empty: they must give one.
    standing: str
    #: For buttons and pages.
    label: str
    #: What it does, one sentence, for the confirmation page.
    consequence: str
    #: Whether the actor may not be of the publisher.
    not_own: bool = True

    @property
    def reason(self) -> bool:
        """Whether it needs a reason."""
        return not self.standing


def _verb(
    name: str,
    source: str,
    target: str,
    permission: str,
    label: str,
    consequence: str,
    *,
    standing: str = "",
    not_own: bool = True,
) -> Verb:
    return Verb(
        name=name,
        source=frozenset(source.split()),
        target=target,
        permission=permission and f"marketplace.{permission}",
        standing=standing,
        label=label,
        consequence=consequence,
        not_own=not_own,
    )


_WAITING = f"{S.SUBMITTED} {S.IN_REVIEW}"
VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        _verb(
            "claim", _WAITING, S.IN_REVIEW, "review_release", "Assign to me",
            "The release is yours to review; others see that.", standing="Taken for review.",
        ),
        _verb(
            "unclaim", S.IN_REVIEW, S.SUBMITTED, "review_release", "Give back",
            "The release returns to the queue at its old place.", standing="Given back to the queue.",
        ),
        _verb(
            "comment", " ".join(S.values), "", "review_release", "Comment",
            "The publisher sees the comment.", not_own=False,
        ),
        _verb(
            "note", " ".join(S.values), "", "review_release", "Internal note",
            "Only curators see the note.", not_own=False,
        ),
        _verb(
            "request_changes", _WAITING, S.CHANGES_REQUESTED, "review_release", "Request changes",
            "The publisher is asked for changes; the clock of the queue stands still meanwhile.",
        ),
        _verb(
            "approve", _WAITING, S.APPROVED, "review_release", "Approve",
            "Everybody can install exactly these bytes. A release of high risk needs a second person.",
        ),
        _verb(
            "reject", f"{_WAITING} {S.CHANGES_REQUESTED}", S.REJECTED, "review_release", "Reject",
            "The version is refused for good; the publisher may submit another version.",
        ),
        _verb(
            "quarantine", f"{_WAITING} {S.CHANGES_REQUESTED} {S.APPROVED} {S.YANKED}", S.QUARANTINED,
            "quarantine_release", "Quarantine",
            "It stops at once wherever it is installed here, and the signed feed tells every other site.",
        ),
        _verb(
            "release", S.QUARANTINED, "", "quarantine_release", "Release from quarantine",
            "It returns to the state before; an approved one must still pass the audit.",
        ),
        _verb(
            "yank", S.APPROVED, S.YANKED, "yank_release", "Yank",
            "It is not offered any more; installed copies stay.", not_own=False,
        ),
        _verb(
            "unyank", S.YANKED, S.APPROVED, "review_release", "Offer again",
            "It can be installed again.",
        ),
        _verb(
            "takedown",
            f"{_WAITING} {S.CHANGES_REQUESTED} {S.APPROVED} {S.REJECTED} {S.QUARANTINED} {S.YANKED} {S.WITHDRAWN}",
            S.REMOVED, "takedown_release", "Take down",
            "Its bytes are deleted and it stops wherever it is installed. The version can never be used again.",
        ),
        _verb(
            "withdraw", f"{_WAITING} {S.CHANGES_REQUESTED}", S.WITHDRAWN, "", "Withdraw",
            "The publisher takes the submission back.", standing="Taken back by its publisher.", not_own=False,
        ),
        _verb(
            "resubmit", S.CHANGES_REQUESTED, S.SUBMITTED, "", "Resubmit",
            "The publisher has answered; the release returns to the queue at its old place.", not_own=False,
        ),
    )
}  # fmt: skip
