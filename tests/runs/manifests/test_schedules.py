"""Declarations of schedules, and their slots."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.manifests import schedules
from runs.manifests.schedules import ScheduleError, parse

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (None, "a schedule is an object"),
        ({}, "exactly one of"),
        ({"cron": "* * * * *", "every": "1h"}, "exactly one of"),
        ({"cron": 5}, "cron must be a text"),
        ({"cron": "nope"}, "expected 5 fields"),
        ({"cron": "* * * * *", "timezone": "Mars/Olympus"}, "unknown timezone"),
        ({"every": "soon"}, "invalid duration"),
        ({"every": 0}, "at least"),
        ({"every": -5000}, "at least"),
        ({"at": "tomorrow"}, "ISO 8601"),
        ({"at": True}, "ISO 8601"),
        ({"every": "1h", "overlap": "maybe"}, "overlap must be one of skip, queue, allow"),
        ({"every": "1h", "missed": "all"}, "missed must be one of once, skip"),
        ({"every": "1h", "enabled": "yes"}, "enabled must be"),
        ({"every": "1h", "environments": "production"}, "environments must be"),
        ({"every": "1h", "name": 1}, "name must be"),
    ],
)
def test_wrong_declarations_say_what_is_wrong(declared: Any, message: str) -> None:
    """A declaration that cannot be used is refused with the reason."""
    with pytest.raises(ScheduleError, match=message):
        parse(declared)


def test_a_moment_comes_once_and_not_in_the_past() -> None:
    """``at`` has one slot, none when it is over."""
    declared = parse({"at": "2026-01-01T00:00:00Z"})
    assert declared.at is not None
    assert declared.first(declared.at - 1) == declared.at
    assert declared.first(declared.at) is None
    assert declared.next_after(declared.at, declared.at + 5) is None


def test_a_moment_without_offset_is_in_the_declared_zone() -> None:
    """Without an offset the time zone of the declaration counts, UTC by default."""
    utc, berlin = parse({"at": "2026-07-01T12:00"}), parse({"at": "2026-07-01T12:00", "timezone": "Europe/Berlin"})
    assert utc.at is not None
    assert berlin.at == utc.at - 2 * HOUR
    assert parse({"at": utc.at}).at == utc.at


@given(st.integers(1000, 10**9), st.integers(0, 10**13), st.integers(0, 10**10))
def test_an_interval_keeps_its_rhythm(every: int, slot: int, late: int) -> None:
    """The next slot is later than now by at most one interval, and whole intervals from the one before."""
    following = parse({"every": every}).next_after(slot, slot + late)
    assert following is not None
    assert slot + late < following <= slot + late + every
    assert (following - slot) % every == 0


@given(st.integers(0, 10 * HOUR))
def test_missed_slots_are_fired_once(late: int) -> None:
    """With ``once`` the oldest slot stands for all that were missed."""
    assert parse({"every": "1h"}).slot_to_fire(5 * HOUR, 5 * HOUR + late, grace_ms=60_000) == 5 * HOUR


@given(st.integers(0, 10 * HOUR))
def test_missed_slots_are_skipped(late: int) -> None:
    """With ``skip`` only a slot within the grace is fired, which may be a later one than the first that was missed."""
    now = 5 * HOUR + late
    fired = parse({"every": "1h", "missed": "skip"}).slot_to_fire(5 * HOUR, now, grace_ms=60_000)
    age = now % HOUR
    assert fired == (now - age if age <= 60_000 else None)


def test_a_cron_slot_is_found_within_the_grace() -> None:
    """The same for cron: down from half past ten until ten seconds past one, the one o'clock slot is fired."""
    declared = parse({"cron": "0 * * * *", "missed": "skip"})
    eleven, one = 11 * HOUR, 13 * HOUR
    assert declared.slot_to_fire(eleven, one + 10_000, grace_ms=60_000) == one
    assert declared.slot_to_fire(eleven, one + 90_000, grace_ms=60_000) is None


@given(
    st.dictionaries(
        st.sampled_from(["cron", "every", "at", "timezone", "overlap", "missed", "name", "input"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.just("* * * * *"),
    )
)
def test_any_declaration_is_used_or_refused(declared: dict[str, Any]) -> None:
    """Whatever stands in a manifest, it is a declaration with one kind or an error."""
    try:
        made = parse(declared)
    except ScheduleError:
        return
    assert sum(part is not None for part in (made.cron, made.every_ms, made.at)) == 1
    assert made.overlap in schedules.OVERLAPS
