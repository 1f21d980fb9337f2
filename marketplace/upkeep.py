"""What the marketplace does by itself: audits under new rules, the next stage of an update, abandoned uploads."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from marketplace import reaudit, rollouts, uploads
from marketplace.audit.run import rules_version
from marketplace.models import Release, Rollout, RolloutState, Upload

#: Seconds between tries of an audit that could not be ended.
AGAIN = 300.0
#: The rules under which this process has seen every live release audited: looking is not free with many releases.
_all_audited_under = ""


def run() -> None:
    """Do some of everything that is due. May run twice at once."""
    reaudit.sweep()
    rollouts.advance()
    uploads.drop_expired()


def seconds_until_next(*, now: datetime | None = None) -> float | None:
    """For beat: when something is due next; ``None``: nothing waits."""
    global _all_audited_under
    if _all_audited_under != rules_version():
        # Beat and worker may be different processes: each looks for itself, until it has seen that nothing is left.
        if reaudit.old_rules().exists():
            return 0.0
        _all_audited_under = rules_version()
    moment = now or timezone.now()
    waits = [
        (when - moment).total_seconds()
        for when in (
            Rollout.objects.filter(state=RolloutState.RUNNING)
            .order_by("wake_at")
            .values_list("wake_at", flat=True)
            .first(),
            Upload.objects.order_by("expires_at").values_list("expires_at", flat=True).first(),
        )
        if when is not None
    ]
    if Release.objects.filter(audit_state__in=("pending", "inconclusive"), state__in=reaudit.LIVE).exists():
        waits.append(AGAIN)
    return min(waits, default=None)
