"""A schedule as a manifest declares it, and when it comes next.

``{cron | every | at, timezone?, input?, enabled?, overlap?, environments?, name?, missed?}``. Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from runs.jsontext import ABSENT
from runs.manifests import cron, durations

#: While a run of the schedule is under way: let the slot pass, start it afterwards, or start it beside.
OVERLAPS = ("skip", "queue", "allow")
#: Slots that passed while nobody looked: one run for all of them, or none.
MISSED = ("once", "skip")
#: The shortest interval; beat is not made for less.
SHORTEST_MS = 1000


class ScheduleError(ValueError):
    """The declaration cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A checked declaration. Exactly one of ``cron``, ``every_ms`` and ``at`` is set."""

    cron: cron.Cron | None = None
    every_ms: int | None = None
    at: int | None = None
    input: Any = ABSENT
    enabled: bool = True
    overlap: str = "skip"
    missed: str = "once"
    environments: tuple[str, ...] | None = None
    name: str = ""

    def first(self, now: int) -> int | None:
        """When it comes first, seen from ``now``; ``None``: never.

        Raises:
            CronError: an expression that never comes.
        """
        if self.at is not None:
            return self.at if self.at > now else None
        return self.next_after(now, now)

    def next_after(self, slot: int, now: int) -> int | None:
        """The first slot later than ``now``, given an earlier ``slot``; ``None``: it was the last.

        An interval keeps its rhythm: slots are whole intervals from one another however late they were handled.
        """
        if self.at is not None:
            return None
        if self.every_ms is not None:
            return slot + max(1, (now - slot) // self.every_ms + 1) * self.every_ms
        assert self.cron is not None
        moment = datetime.fromtimestamp(max(slot, now) / 1000, UTC)
        return int(self.cron.next_after(moment).timestamp() * 1000)

    def slot_to_fire(self, slot: int, now: int, *, grace_ms: int) -> int | None:
        """Which slot to fire when ``slot`` is due; ``None``: it was missed, and missed slots are skipped.

        With ``missed: once`` the oldest stands for all of them. With ``skip`` only one that is not older than
        ``grace_ms`` is fired.
        """
        if self.missed == "once" or now - slot <= grace_ms:
            return slot
        recent = self.next_after(slot, now - grace_ms - 1)
        return recent if recent is not None and recent <= now else None


def parse(declared: Any) -> Declaration:
    """Check one declaration.

    Raises:
        ScheduleError: says what is wrong.
    """
    if not isinstance(declared, Mapping):
        raise ScheduleError("a schedule is an object with cron, every or at")
    kinds = [kind for kind in ("cron", "every", "at") if declared.get(kind) is not None]
    if len(kinds) != 1:
        raise ScheduleError("a schedule has exactly one of cron, every and at")
    timezone = _text(declared, "timezone", "UTC")
    try:
        expression = cron.parse(_text(declared, "cron", ""), timezone) if kinds == ["cron"] else None
        every = durations.parse(declared["every"]) if kinds == ["every"] else None
        at = _moment(declared["at"], timezone) if kinds == ["at"] else None
    except (cron.CronError, durations.DurationError) as error:
        raise ScheduleError(str(error)) from None
    if every is not None and every < SHORTEST_MS:
        raise ScheduleError(f"every must be at least {SHORTEST_MS} ms")
    enabled = declared.get("enabled", True)
    if not isinstance(enabled, bool):
        raise ScheduleError("enabled must be true or false")
    return Declaration(
        cron=expression,
        every_ms=every,
        at=at,
        input=declared.get("input", ABSENT),
        enabled=enabled,
        overlap=_one_of(declared, "overlap", OVERLAPS),
        missed=_one_of(declared, "missed", MISSED),
        environments=_environments(declared),
        name=_text(declared, "name", ""),
    )


def _moment(value: Any, timezone: str) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return durations.parse(value)
    if not isinstance(value, str):
        raise ScheduleError("at must be an ISO 8601 time")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ScheduleError(f'at "{value[:60]}" is not an ISO 8601 time') from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=cron.zone(timezone))
    return int(moment.timestamp() * 1000)


def _environments(declared: Mapping[str, Any]) -> tuple[str, ...] | None:
    value = declared.get("environments")
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ScheduleError("environments must be a list of names")
    return tuple(value)


def _text(declared: Mapping[str, Any], name: str, default: str) -> str:
    value = declared.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise ScheduleError(f"{name} must be a text")
    return value


def _one_of(declared: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = _text(declared, name, choices[0])
    if value not in choices:
        raise ScheduleError(f"{name} must be one of {', '.join(choices)}")
    return value
