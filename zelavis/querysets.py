"""Questions asked of the core's rows in more than one place."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Manager, Min, Model, Q, QuerySet

from zelavis.models import Activation, HookEvent, PluginEntry, Schedule

Row = TypeVar("Row", bound=Model)

#: Of entries: an automatic update that goes on only after somebody looked, and one that gets a share of the calls.
FOR_A_PERSON = Q(update_wait__in=PluginEntry.FOR_A_PERSON)
STAGED = Q(rollout__isnull=False)


def installed() -> QuerySet[PluginEntry]:
    """Entries the operator wants installed."""
    return PluginEntry.objects.filter(status=PluginEntry.Status.INSTALLED)


def updates_waiting() -> QuerySet[PluginEntry]:
    """Entries whose automatic update waits, for whatever reason."""
    return PluginEntry.objects.exclude(update_wait="")


def updates_for_a_person() -> QuerySet[PluginEntry]:
    """Entries whose automatic update goes on only after somebody looked."""
    return PluginEntry.objects.filter(FOR_A_PERSON)


def updates_staged() -> QuerySet[PluginEntry]:
    """Entries a share of whose calls goes to another version."""
    return PluginEntry.objects.filter(STAGED)


def unfinished() -> QuerySet[Activation]:
    """Activations that still need somebody."""
    return Activation.objects.filter(finished_at=None)


def due_activations(now: datetime) -> QuerySet[Activation]:
    """Activations whose lease ran out or whose next poll is due, longest waiting first."""
    return Activation.objects.filter(wake_at__lte=now).order_by("wake_at")


def due_events(now: datetime) -> QuerySet[HookEvent]:
    """Hook events that nobody is delivering and that should be, longest waiting first."""
    return HookEvent.objects.filter(wake_at__lte=now).order_by("wake_at")


def due_schedules(now: datetime) -> QuerySet[Schedule]:
    """Schedules whose time came, of plugins that serve."""
    return Schedule.objects.filter(next_at__lte=now, entry__serving__isnull=False).order_by("next_at")


def earliest(rows: QuerySet[Any] | Manager[Any], column: str) -> datetime | None:
    """The earliest value of an indexed column."""
    value: datetime | None = rows.aggregate(earliest=Min(column))["earliest"]
    return value


def claim(rows: QuerySet[Row], pk: Any, *, due: datetime, **changes: Any) -> bool:
    """Take one due row: a conditional UPDATE, so that of two processes one gets it. ``rows`` has ``wake_at``."""
    return rows.filter(pk=pk, wake_at__lte=due).update(**changes) == 1
