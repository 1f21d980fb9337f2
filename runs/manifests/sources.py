"""When schedules and unfinished broadcasts need somebody, told to beat."""

from __future__ import annotations

from runs.manifests import broadcasting, ticking
from zelavis.wakeups import WakeSource

SOURCES = (
    WakeSource(name="schedules", task="runs.tasks.tick_schedules", seconds_until_next=ticking.seconds_until_next),
    WakeSource(name="events", task="runs.tasks.broadcast", seconds_until_next=broadcasting.seconds_until_next),
)
