"""Figures for a monitoring system, in the text format that Prometheus reads (exposition format 0.0.4).

Labels come from fixed sets of ours, never from a plugin, a tenant or a path: a guest cannot make time series.
Counts stop at :data:`COUNTED`, so that a scrape costs the same however much there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, QuerySet
from django.utils import timezone

from marketplace.models import Release
from sandbox.models import Invocation
from sandbox.outcome import OutcomeStatus
from zelavis import heartbeat, querysets, wakeups
from zelavis.models import CircuitBreaker, Heartbeat, HookEvent, PluginEntry

#: No count goes further; a larger one is told as this.
COUNTED = 10_000
_WINDOW = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """One figure: its values by the label's value, or by ``""`` where it has no label."""

    name: str
    help: str
    values: Mapping[str, float]
    label: str = ""


#: Filled by each app in ``AppConfig.ready``.
SOURCES: list[Callable[[], Iterable[Gauge]]] = []


def capped(rows: QuerySet[Any]) -> int:
    """How many there are, up to :data:`COUNTED`."""
    return rows.order_by()[:COUNTED].count()


def text() -> str:
    """Every source's figures, as a page."""
    return "".join(line for source in SOURCES for gauge in source() for line in _lines(gauge))


def _lines(gauge: Gauge) -> Iterator[str]:
    yield f"# HELP {gauge.name} {gauge.help}\n# TYPE {gauge.name} gauge\n"
    for value, figure in gauge.values.items():
        labels = f'{{{gauge.label}="{value}"}}' if gauge.label else ""
        yield f"{gauge.name}{labels} {figure:g}\n"


def core() -> Iterator[Gauge]:
    """Parts and alarms, plugins and hooks, calls of the last five minutes, the curation queue."""
    now = timezone.now()
    seen = dict(Heartbeat.objects.filter(name__in=heartbeat.EXPECTED).values_list("name", "seen_at"))
    yield Gauge(
        name="zelavis_part_seen_seconds_ago",
        help="Since the worker or beat was last seen; absent when it never was.",
        label="part",
        values={name: max(0.0, (now - at).total_seconds()) for name, at in seen.items()},
    )
    waits = ((source.name, source.seconds_until_next()) for source in wakeups.SOURCES)
    yield Gauge(
        name="zelavis_wakeup_late_seconds",
        help="How late the earliest due row of a wake source is; 0 when none is due.",
        label="source",
        values={name: max(0.0, -left) if left is not None else 0.0 for name, left in waits},
    )
    states = dict(PluginEntry.objects.values_list("activation_state").annotate(Count("pk")).order_by())
    yield Gauge(
        name="zelavis_plugins",
        help="Installed plugins by activation state.",
        label="state",
        values={state.value: states.get(state.value, 0) for state in PluginEntry.ActivationState},
    )
    yield Gauge(
        name="zelavis_activations_unfinished",
        help="Activations on their way.",
        values={"": capped(querysets.unfinished())},
    )
    yield Gauge(
        name="zelavis_breakers_open",
        help="Plugins that are let rest after repeated traps.",
        values={"": capped(CircuitBreaker.objects.filter(opened_at__isnull=False))},
    )
    yield Gauge(
        name="zelavis_hook_events_waiting",
        help="Hook events that wait for a worker.",
        values={"": capped(HookEvent.objects.filter(wake_at__lte=now))},
    )
    ended = Invocation.objects.filter(created_at__gte=now - _WINDOW)
    yield Gauge(
        name="zelavis_invocations_last_5_minutes",
        help="Plugin calls in the ledger by outcome, over the last five minutes.",
        label="status",
        values={status.value: capped(ended.filter(status=status.value)) for status in OutcomeStatus},
    )
    yield Gauge(
        name="zelavis_releases_waiting_for_review",
        help="Releases in the curation queue.",
        values={"": capped(Release.objects.all().queue())},
    )
