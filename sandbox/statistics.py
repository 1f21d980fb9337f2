"""How a plugin's calls went in the last hours: p50, p95, failures and refusals, from the ledger."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox.models import Invocation
from sandbox.outcome import OutcomeStatus

HOURS = 24
#: The newest calls that are read; a busy plugin's hours are a sample of its newest ones.
MOST_ROWS = 20_000
#: Calls whose refusals are read one by one.
MOST_REFUSED = 1_000
_FINE = {OutcomeStatus.OK.value, OutcomeStatus.REJECTED.value}


@dataclass(frozen=True, kw_only=True)
class Hour:
    """One hour of calls; durations are milliseconds."""

    label: str
    calls: int
    failed: int
    refusals: int
    p50: float
    p95: float


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """A plugin's last day."""

    calls: int
    failed: int
    refusals: int
    p50: float
    p95: float
    #: Whether older calls of the day were not read.
    cut: bool
    hours: tuple[Hour, ...]
    #: ``(status, calls)``, most first.
    statuses: tuple[tuple[str, int], ...]
    #: ``(hook, calls, p50, p95, failed)``, most called first.
    hooks: tuple[tuple[str, int, float, float, int], ...]
    #: ``(capability, code, refusals)``, most first; of the newest calls that were refused anything.
    refused: tuple[tuple[str, str, int], ...]

    @property
    def failure_rate(self) -> float:
        """Failed calls in per cent of all."""
        return 100 * self.failed / self.calls if self.calls else 0.0


def of_plugin(plugin: str, *, now: datetime) -> Statistics:
    """The last 24 hours of a plugin."""
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    rows = list(
        Invocation.objects.filter(plugin=plugin, created_at__gte=start, created_at__lte=now)
        .order_by("-created_at")
        .values_list("created_at", "hook", "status", "duration_ms", "refusals")[:MOST_ROWS]
    )
    by_hour: dict[int, list[tuple[str, float, int]]] = defaultdict(list)
    by_hook: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for created_at, hook, status, duration, refusals in rows:
        by_hour[int((created_at - start).total_seconds() // 3600)].append((status, duration, refusals))
        by_hook[hook].append((status, duration))
    hours = []
    for number in range(HOURS):
        calls = by_hour[number]
        times = sorted(duration for _, duration, _ in calls)
        hours.append(
            Hour(
                label=(start + timedelta(hours=number)).strftime("%H:00"),
                calls=len(calls),
                failed=sum(status not in _FINE for status, _, _ in calls),
                refusals=sum(refusals for _, _, refusals in calls),
                p50=percentile(times, 50),
                p95=percentile(times, 95),
            )
        )
    every = sorted(row[3] for row in rows)
    hooks = []
    for hook, pairs in sorted(by_hook.items(), key=lambda item: -len(item[1])):
        times = sorted(duration for _, duration in pairs)
        failed = sum(status not in _FINE for status, _ in pairs)
        hooks.append((hook, len(pairs), percentile(times, 50), percentile(times, 95), failed))
    refused: Counter[tuple[str, str]] = Counter()
    told = Invocation.objects.filter(plugin=plugin, created_at__gte=start, created_at__lte=now, refusals__gt=0)
    for text in told.order_by("-created_at").values_list("refused", flat=True)[:MOST_REFUSED]:
        refused.update((capability, code) for capability, _, code, _ in _refusals(text))
    return Statistics(
        calls=len(rows),
        failed=sum(row[2] not in _FINE for row in rows),
        refusals=sum(row[4] for row in rows),
        p50=percentile(every, 50),
        p95=percentile(every, 95),
        cut=len(rows) == MOST_ROWS,
        hours=tuple(hours),
        statuses=tuple(Counter(row[2] for row in rows).most_common()),
        hooks=tuple(hooks),
        refused=tuple((capability, code, count) for (capability, code), count in refused.most_common()),
    )


def _refusals(text: str) -> list[tuple[str, str, str, str]]:
    """The refusals of a row; none of a text that was cut."""
    try:
        return [tuple(one) for one in json.loads(text)]
    except ValueError:
        return []


def percentile(ordered: list[float], per_cent: int) -> float:
    """The nearest-rank percentile of ascending values; 0 of none."""
    return ordered[min(len(ordered) - 1, len(ordered) * per_cent // 100)] if ordered else 0.0
