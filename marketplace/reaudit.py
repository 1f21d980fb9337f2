"""Auditing stored releases again: when rules change, when a check was inconclusive, before a decision."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.db import transaction
from django.db.models import Q, QuerySet

from marketplace import blobs, bundles, intake, manifest
from marketplace.audit import rows, run
from marketplace.audit.base import Family
from marketplace.models import Release, ReleaseState
from zelavis.errors import ZelavisError

logger = logging.getLogger("zelavis.marketplace")
#: States whose releases are worth looking at again.
LIVE = (
    ReleaseState.SUBMITTED,
    ReleaseState.IN_REVIEW,
    ReleaseState.CHANGES_REQUESTED,
    ReleaseState.APPROVED,
    ReleaseState.YANKED,
    ReleaseState.QUARANTINED,
)


def again(release: Release, *, families: Iterable[Family] | None = None) -> run.Report:
    """Audit a stored release anew. Promotes nothing: only rows, findings and audit fields change.

    Raises:
        ArtifactMissing: its bytes are gone. DigestMismatch: they are damaged.
    """
    read = bundles.read(blobs.get(release.digest))
    parsed = manifest.parse(read.files[manifest.NAME])
    subject = intake.subject_of(read, parsed, release.publisher)
    report = run.audit(subject) if families is None else run.audit(subject, families=families)
    with transaction.atomic():
        row = Release.objects.select_for_update().get(pk=release.pk)
        rows.record(row, report)
    for field in ("audit_state", "audit_rules", "audited_digest"):
        setattr(release, field, getattr(row, field))
    return report


def if_stale(release: Release) -> None:
    """Audit again unless the newest audit passed under today's rules; verifies the stored bytes in any case."""
    if release.audit_state != "passed" or release.audit_rules != run.rules_version():
        again(release)
    else:
        blobs.get(release.digest)


def old_rules() -> QuerySet[Release]:
    """Live releases whose newest audit was made under other rules."""
    return Release.objects.filter(state__in=LIVE).exclude(audit_rules=run.rules_version())


def stale() -> int:
    """How many live releases were audited under other rules, or not to the end."""
    return _stale().count()


def _stale() -> QuerySet[Release]:
    return Release.objects.filter(state__in=LIVE).filter(
        ~Q(audit_rules=run.rules_version()) | Q(audit_state__in=("pending", "inconclusive"))
    )


def sweep(*, most: int = 50) -> int:
    """Audit some of the stale releases, waiting ones first; answers how many. Idempotent; run by beat."""
    done = 0
    inconclusive = Q(audit_rules=run.rules_version())
    chosen = [*_stale().exclude(inconclusive).order_by("audit_rules", "submitted_at")[:most]]
    chosen += [*_stale().filter(inconclusive).order_by("submitted_at")[: most - len(chosen)]]
    for release in chosen:
        try:
            again(release)
        except ZelavisError as error:
            # Bytes that are gone or damaged: nothing passes, and the row says since which rules.
            logger.warning("release cannot be audited", extra={"release": release.pk, "code": error.code})
            Release.objects.filter(pk=release.pk).update(audit_state="failed", audit_rules=run.rules_version())
        done += 1
    return done
