"""The runs' figures for a monitoring system."""

from __future__ import annotations

from collections.abc import Iterator

from runs import alarms, clock, states
from runs.models import Run, Waitpoint
from zelavis.metrics import COUNTED, Gauge, capped

_WINDOW_MS = 300_000


def figures() -> Iterator[Gauge]:
    """Due and sleeping runs, runs that ended in the last five minutes, questions to people."""
    yield Gauge(name="zelavis_runs_due", help="Runs due for a drive now.", values={"": alarms.overdue(at_most=COUNTED)})
    yield Gauge(
        name="zelavis_runs_asleep",
        help="Runs with a wake time: alarms, time-outs, retries and leases.",
        values={"": capped(Run.objects.filter(wake_at__gt=clock.now_ms()))},
    )
    ended = Run.objects.filter(completed_at__gte=clock.now_ms() - _WINDOW_MS)
    yield Gauge(
        name="zelavis_runs_ended_last_5_minutes",
        help="Runs that reached a terminal state, by state, over the last five minutes.",
        label="status",
        values={status: capped(ended.filter(status=status)) for status in sorted(states.TERMINAL)},
    )
    asked = Waitpoint.objects.filter(state=states.PENDING, kind=states.MANUAL)
    yield Gauge(
        name="zelavis_runs_questions_waiting",
        help="Waits that a person answers.",
        values={"": capped(asked)},
    )
