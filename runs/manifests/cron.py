"""Five-field cron expressions in a time zone.

Fields are minute, hour, day, month, day of week (0 to 6, Sunday is 0); each is ``*``, a number, a range ``a-b``, a list
of these, or one of them with ``/step`` (``a/n`` is only ``a``). All five must match: day and day of week together, not
either of them. A time that the clocks pass over fires when they have moved on; one that comes twice fires once. Where
minute or hour begins with a star it is an interval, and goes on by the minute whatever the clocks do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("dow", 0, 6))
#: No occurrence for so long means that there is none.
YEARS = 5
_TERM = re.compile(r"(?:(\*)|([0-9]{1,9})(?:-([0-9]{1,9}))?)(?:/([0-9]{1,9}))?")


class CronError(ValueError):
    """Not a cron expression, not a time zone, or one that never comes."""


@dataclass(frozen=True)
class Cron:
    """A parsed expression."""

    text: str
    #: Allowed values of each field.
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    #: As given, to tell "every hour" from "at these hours" where the clocks change.
    starred: tuple[bool, bool]
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime:
        """The first occurrence strictly later than ``moment``, in UTC.

        Raises:
            CronError: none within five years.
        """
        limit = moment + timedelta(days=366 * YEARS)
        try:
            # The day of week is checked here: cronsim, like cron itself, would take either of day and day of week.
            for local in CronSim(self._expression(), moment.astimezone(self.zone)):
                at: datetime = local.astimezone(UTC)
                if at > limit:
                    break
                if at > moment and local.isoweekday() % 7 in self.weekdays:
                    return at
        except CronSimError:
            # A day that none of the months has.
            pass
        raise CronError(f'cron "{self.text}" does not come in the next {YEARS} years')

    def _expression(self) -> str:
        fields = (self.minutes, self.hours, self.days, self.months)
        listed = [",".join(map(str, sorted(values))) for values in fields]
        for index, starred in enumerate(self.starred):
            if starred and len(fields[index]) == FIELDS[index][2] + 1:
                listed[index] = "*"
            elif starred:
                # A leading star keeps cronsim's rule for intervals, where each hour of the day counts as it comes.
                step = sorted(fields[index])[1] if len(fields[index]) > 1 else FIELDS[index][2] + 1
                listed[index] = f"*/{step}"
        return " ".join([*listed, "*"])


def parse(text: str, timezone: str = "UTC") -> Cron:
    """Read an expression.

    Raises:
        CronError: says which field is wrong.
    """
    parts = text.split()
    if len(parts) != len(FIELDS):
        raise CronError(f'invalid cron "{text[:100]}" - expected 5 fields (minute hour day month dow)')
    minutes, hours, days, months, weekdays = (_field(part, *field) for part, field in zip(parts, FIELDS, strict=True))
    starred = (_interval(parts[0]), _interval(parts[1]))
    return Cron(text, minutes, hours, days, months, weekdays, starred, zone(timezone))


def zone(name: str) -> ZoneInfo:
    """The time zone of this name.

    Raises:
        CronError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CronError(f'unknown timezone "{name[:60]}"') from None


def _interval(text: str) -> bool:
    return re.fullmatch(r"\*(/[0-9]+)?", text) is not None


def _field(text: str, name: str, low: int, high: int) -> frozenset[int]:
    outside = CronError(f'cron {name} out of range [{low}..{high}] in "{text[:60]}"')
    values: set[int] = set()
    for term in text.split(","):
        match = _TERM.fullmatch(term)
        if match is None:
            raise outside
        star, first, last, step = match.groups()
        start, end = (low, high) if star else (int(first), int(last if last is not None else first))
        if not low <= start <= end <= high:
            raise outside
        if step is not None and int(step) < 1:
            raise CronError(f"cron {name} step must be >=1")
        values.update(range(start, end + 1, int(step or 1)))
    return frozenset(values)
