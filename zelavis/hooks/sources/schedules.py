"""Schedules of serving plugins: when a time comes, an event for that one plugin."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from django.db import transaction
from django.utils import timezone

from sandbox.capabilities import outbox
from zelavis import hooks, querysets
from zelavis.activation import schedules
from zelavis.errors import InvalidRequest
from zelavis.models import Schedule

logger = logging.getLogger("zelavis.hooks")
BATCH = 100


def tick(*, now: datetime | None = None) -> int:
    """Make an event of every schedule whose time came. Times missed while nothing ran are made up for once.

    The row moves to its next time in the same transaction as the event is made, so that two beats make one event.
    """
    moment = now or timezone.now()
    fired = 0
    for row in querysets.due_schedules(moment).select_related("entry")[:BATCH]:
        try:
            following = schedules.next_after(row.cron, row.timezone, moment)
        except InvalidRequest as error:
            # Checked at activation; the time zone data may have changed since. It must not stop the others.
            logger.warning("schedule dropped", extra={"schedule": str(row), "reason": error.message})
            row.delete()
            continue
        with transaction.atomic():
            claimed = Schedule.objects.filter(pk=row.pk, next_at=row.next_at).update(next_at=following, last_at=moment)
            if not claimed:
                continue
            event = {"schedule": row.name, "cron": row.cron, "scheduledAt": _rfc3339(row.next_at)}
            if hooks.enqueue("cron", event, source="schedule", plugin=row.entry.name, depth=0, now=moment) is not None:
                fired += 1
    return fired


def wake(*, now: datetime | None = None) -> int:
    """Make an event of every time that a plugin set for itself and that came.

    The row goes in the same transaction as the event is made.
    """
    moment = now or timezone.now()
    fired = 0
    with transaction.atomic():
        for row in outbox.claim_wakes(now_ms=int(moment.timestamp() * 1000), limit=BATCH):
            at = datetime.fromtimestamp(row.at_ms / 1000, tz=UTC)
            event = {"schedule": row.name, "scheduledAt": _rfc3339(at), "data": json.loads(row.data)}
            if hooks.enqueue("cron", event, source="schedule", plugin=row.plugin, depth=0, now=moment) is not None:
                fired += 1
    return fired


def seconds_until_next() -> float | None:
    """For beat: when the next schedule is due."""
    earliest = querysets.earliest(Schedule.objects.filter(entry__serving__isnull=False), "next_at")
    return None if earliest is None else (earliest - timezone.now()).total_seconds()


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
