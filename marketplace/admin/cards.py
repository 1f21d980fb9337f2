"""What of the marketplace needs somebody, for the home page."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from marketplace.lookups import unindexed
from marketplace.models import FeedSource, Release, ReleaseState
from zelavis.admin.site import Card

#: A release that waits longer than this many days is late.
_LATE_DAYS = 7


def _waited(days: int) -> str:
    return f"The oldest has waited {days} day{'' if days == 1 else 's'}." if days else "All of them came within a day."


def cards(request: HttpRequest) -> list[Card]:
    """Waiting, quarantined, approved ones that newer rules object to, and feeds that cannot be trusted to be fresh."""
    if not request.user.has_perm("marketplace.view_release"):
        return []
    now = timezone.now()
    listed = reverse("admin:marketplace_release_changelist")
    waiting = Release.objects.all().queue()
    count = waiting.count()
    oldest = waiting[0][1] if count else None
    late = oldest is not None and (now - oldest).days >= _LATE_DAYS
    quarantined = Release.objects.filter(state=ReleaseState.QUARANTINED).count()
    objected = unindexed(Release.objects.filter(audit_state="failed"), "state", ReleaseState.APPROVED).count()
    found = [
        Card(
            title="Releases waiting for review",
            count=count,
            url=reverse("admin:marketplace_release_queue"),
            text=_waited((now - oldest).days) if oldest else "Nobody waits.",
            tone="alarm" if late else "notice" if count else "calm",
        ),
        Card(
            title="Quarantined releases",
            count=quarantined,
            url=f"{listed}?state__exact={ReleaseState.QUARANTINED}",
            text="Stopped everywhere until somebody decides." if quarantined else "Nothing is stopped.",
            tone="alarm" if quarantined else "calm",
        ),
    ]
    if objected:
        found.append(
            Card(
                title="Approved, but the rules object",
                count=objected,
                url=f"{listed}?state__exact={ReleaseState.APPROVED}&audit_state=failed",
                text="Newer rules found errors in releases that can be installed.",
                tone="alarm",
            )
        )
    overdue = FeedSource.objects.filter(enabled=True).exclude(expires_at__gt=now).count()
    if overdue and request.user.has_perm("marketplace.view_feedsource"):
        found.append(
            Card(
                title="Feeds that are not fresh",
                count=overdue,
                url=reverse("admin:marketplace_feedsource_changelist"),
                text="Revocations of other marketplaces may be missing.",
                tone="alarm",
            )
        )
    return found
