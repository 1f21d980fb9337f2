"""Rows of the schedules that a serving plugin's manifest declares."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from zelavis import active
from zelavis.errors import InvalidRequest
from zelavis.models import Deployment, PluginEntry, Schedule


def next_after(cron: str, timezone: str, moment: datetime) -> datetime:
    """The next time of a cron line after ``moment``, in UTC; summer time is the line's own.

    Raises:
        InvalidRequest: not a cron line, no such time zone, or a time that never comes.
    """
    try:
        times = CronSim(cron, moment.astimezone(ZoneInfo(timezone)))
        # In the second of two hours that bear one name the first answer lies in the first of them: it is over.
        following: datetime = next(one for one in (time.astimezone(UTC) for time in times) if one > moment)
    except (CronSimError, ZoneInfoNotFoundError, ValueError, OSError) as error:
        # OSError: a name that is a folder of zones, such as America.
        raise InvalidRequest(f"The schedule {cron[:100]!r} in {timezone[:60]!r} cannot be understood.") from error
    except StopIteration:
        raise InvalidRequest(f"The time of the schedule {cron[:100]!r} never comes.") from None
    return following


def align(entry: PluginEntry, deployment: Deployment, *, now: datetime) -> None:
    """Make the rows match the manifest: new and changed lines wait for their next time, gone ones go."""
    declared = {binding.name: binding for binding in active.surface(deployment.manifest).schedules}
    entry.schedules.exclude(name__in=declared).delete()
    held = {row.name: row for row in entry.schedules.all()}
    for name, binding in declared.items():
        row = held.get(name)
        if row is not None and (row.cron, row.timezone) == (binding.cron, binding.timezone):
            continue
        Schedule.objects.update_or_create(
            entry=entry,
            name=name,
            defaults={
                "cron": binding.cron,
                "timezone": binding.timezone,
                "next_at": next_after(binding.cron, binding.timezone, now),
            },
        )
