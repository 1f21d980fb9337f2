"""Circuit breakers: a plugin that traps five times in a row is let rest, then tried with one call."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import F

from zelavis import audit
from zelavis.models import CircuitBreaker

#: Failures in a row that open a breaker.
THRESHOLD = 5
#: The first rest; it doubles each time the trial call fails too.
REST = timedelta(minutes=1)
LONGEST_REST = timedelta(hours=1)
#: How long one process has the trial call to itself.
TRIAL = timedelta(seconds=30)
#: What counts as the plugin's own failure. Saying no, being refused a capability and our own faults do not.
FAILURES = frozenset({"deadline", "memory", "fuel", "trap", "output_invalid", "output_too_large", "bad_answer"})


def held(plugins: Iterable[str]) -> dict[str, CircuitBreaker]:
    """The breakers that have anything to say about these plugins, by plugin."""
    return {row.plugin: row for row in CircuitBreaker.objects.filter(plugin__in=list(plugins))}


def admits(breaker: CircuitBreaker | None, *, now: datetime) -> bool:
    """Whether a call may go through. While open, one call in each rest is the trial; one process wins it."""
    if breaker is None or breaker.opened_at is None:
        return True
    if breaker.retry_at is not None and breaker.retry_at > now:
        return False
    won = CircuitBreaker.objects.filter(pk=breaker.pk, retry_at=breaker.retry_at).update(retry_at=now + TRIAL)
    return won == 1


def record(
    plugin: str, status: str, message: str, *, breaker: CircuitBreaker | None, now: datetime
) -> CircuitBreaker | None:
    """Count one call's end. A good call with a clean record writes nothing."""
    if status not in FAILURES:
        if breaker is not None and (breaker.failures or breaker.opened_at) and status in ("ok", "rejected"):
            CircuitBreaker.objects.filter(pk=breaker.pk).update(failures=0, opened_at=None, retry_at=None, trips=0)
            return None
        return breaker
    row, _ = CircuitBreaker.objects.get_or_create(plugin=plugin)
    CircuitBreaker.objects.filter(pk=row.pk).update(
        failures=F("failures") + 1, last_status=status, last_message=message[:2000], last_failed_at=now
    )
    # Asked anew each time and not refreshed: an update or an operator may clear the record at any moment.
    found = CircuitBreaker.objects.filter(pk=row.pk)
    present = found.first()
    if present is None or present.failures < THRESHOLD:
        return present
    rest = min(LONGEST_REST, REST * 2 ** min(present.trips, 10))
    if present.opened_at is None:
        found.filter(opened_at=None).update(opened_at=now, retry_at=now + rest, trips=F("trips") + 1)
    elif breaker is not None and breaker.opened_at is not None:
        # Only the trial's failure makes the rest longer, not that of a call that began before the breaker opened.
        found.update(retry_at=now + rest, trips=F("trips") + 1)
    return found.first()


def reset(plugin: str, *, actor: str) -> bool:
    """Close a breaker by hand. Whether there was one."""
    deleted, _ = CircuitBreaker.objects.filter(plugin=plugin).delete()
    if deleted:
        audit.record("breaker.reset", target=f"plugin:{plugin}", actor=actor)
    return bool(deleted)
