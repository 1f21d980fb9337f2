"""Cron expressions, with time zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runs.manifests import cron
from runs.manifests.cron import CronError


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def series(expression: str, zone: str, start: str, count: int) -> list[str]:
    """The first occurrences, in local time."""
    parsed, moment, found = cron.parse(expression, zone), at(start), []
    for _ in range(count):
        moment = parsed.next_after(moment)
        found.append(moment.astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M %z"))
    return found


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("* * * *", 'invalid cron "* * * *" - expected 5 fields (minute hour day month dow)'),
        ("* * * * * *", 'invalid cron "* * * * * *" - expected 5 fields (minute hour day month dow)'),
        ("", 'invalid cron "" - expected 5 fields (minute hour day month dow)'),
        ("60 * * * *", 'cron minute out of range [0..59] in "60"'),
        ("* 24 * * *", 'cron hour out of range [0..23] in "24"'),
        ("* * 0 * *", 'cron day out of range [1..31] in "0"'),
        ("* * * 1,13 *", 'cron month out of range [1..12] in "1,13"'),
        ("* * * * 7", 'cron dow out of range [0..6] in "7"'),
        ("* * * * MON", 'cron dow out of range [0..6] in "MON"'),
        ("5-1 * * * *", 'cron minute out of range [0..59] in "5-1"'),
        ("1, * * * *", 'cron minute out of range [0..59] in "1,"'),
        ("*/0 * * * *", "cron minute step must be >=1"),
        ("* * L * *", 'cron day out of range [1..31] in "L"'),
        ("* * * * 1#2", 'cron dow out of range [0..6] in "1#2"'),
    ],
)
def test_wrong_expressions_say_what_is_wrong(expression: str, message: str) -> None:
    """The message names the field and what it takes."""
    with pytest.raises(CronError) as error:
        cron.parse(expression)
    assert str(error.value) == message


def test_a_step_on_a_number_is_that_number() -> None:
    """``a/n`` is only ``a``."""
    assert cron.parse("5/10 * * * *").minutes == {5}
    assert cron.parse("5-25/10 * * * *").minutes == {5, 15, 25}
    assert cron.parse("*/20 * * * *").minutes == {0, 20, 40}


def test_day_and_weekday_must_both_match() -> None:
    """The thirteenth that is a Friday, not the thirteenths and the Fridays."""
    assert series("0 0 13 * 5", "UTC", "2026-01-01T00:00", 3) == [
        *("02-13 00:00 +0000", "03-13 00:00 +0000", "11-13 00:00 +0000"),
    ]


def test_what_never_comes_is_an_error() -> None:
    """February the thirtieth, and a leap day on a weekday that is more than five years away."""
    with pytest.raises(CronError, match="does not come"):
        cron.parse("0 0 30 2 *").next_after(at("2026-01-01T00:00"))
    with pytest.raises(CronError, match="does not come"):
        cron.parse("0 0 29 2 3").next_after(at("2026-01-01T00:00"))


def test_an_unknown_zone_is_an_error() -> None:
    """Time zones are named as in the IANA database."""
    for name in ("Mars/Olympus", "../etc/passwd", "", "/etc/localtime"):
        with pytest.raises(CronError, match="unknown timezone"):
            cron.parse("* * * * *", name)


def test_strictly_after() -> None:
    """An occurrence is never the moment asked from, and comes on the whole minute."""
    every = cron.parse("* * * * *")
    assert every.next_after(at("2026-01-01T00:00:00")) == at("2026-01-01T00:01:00")
    assert every.next_after(at("2026-01-01T00:00:59.999")) == at("2026-01-01T00:01:00")


def test_a_skipped_hour_fires_when_it_is_over() -> None:
    """Where the clocks go forward over a time of day, it fires at the moment they have."""
    assert series("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00", 3) == [
        *("03-28 02:30 +0100", "03-29 03:00 +0200", "03-30 02:30 +0200"),
    ]


def test_a_repeated_hour_fires_once() -> None:
    """Where the clocks go back, a time of day that comes twice fires the first time."""
    assert series("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00", 3) == [
        *("10-24 02:30 +0200", "10-25 02:30 +0200", "10-26 02:30 +0100"),
    ]


def test_an_interval_goes_on_through_a_repeated_hour() -> None:
    """Every half hour is every half hour, also while the clocks show the same hour again."""
    assert series("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:10", 5) == [
        *("10-25 02:30 +0200", "10-25 02:00 +0100", "10-25 02:30 +0100", "10-25 03:00 +0100", "10-25 03:30 +0100"),
    ]


fields = st.tuples(
    *(
        st.one_of(
            st.just("*"),
            st.integers(low, high).map(str),
            st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda p: f"{min(p)}-{max(p)}"),
            st.integers(1, 20).map(lambda n: f"*/{n}"),
            st.lists(st.integers(low, high), min_size=2, max_size=3).map(lambda ns: ",".join(map(str, ns))),
        )
        for _, low, high in cron.FIELDS
    )
)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2029, 1, 1))


def matches(parsed: cron.Cron, local: datetime) -> bool:
    return (
        local.minute in parsed.minutes
        and local.hour in parsed.hours
        and local.day in parsed.days
        and local.month in parsed.months
        and local.isoweekday() % 7 in parsed.weekdays
    )


@settings(max_examples=60, deadline=None)
@given(fields, moments)
def test_the_next_is_the_first_that_matches(parts: tuple[str, ...], start: datetime) -> None:
    """In UTC the answer matches in all five fields, and nothing between matches."""
    parsed, moment = cron.parse(" ".join(parts)), start.replace(tzinfo=UTC)
    try:
        found = parsed.next_after(moment)
    except CronError:
        return
    assert found > moment
    assert found.second == found.microsecond == 0
    assert matches(parsed, found)
    step = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(3000):
        if step >= found:
            break
        assert not matches(parsed, step)
        step += timedelta(minutes=1)


@settings(max_examples=60)
@given(fields, moments, st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Chatham"]))
def test_zones_agree_with_utc_away_from_changes(parts: tuple[str, ...], start: datetime, zone: str) -> None:
    """On a day without a change of the clocks the local time of an occurrence matches in all five fields."""
    parsed, moment = cron.parse(" ".join(parts), zone), start.replace(tzinfo=UTC)
    try:
        found = parsed.next_after(moment)
    except CronError:
        return
    local = found.astimezone(ZoneInfo(zone))
    assert found > moment
    around = {(local + timedelta(hours=hours)).utcoffset() for hours in (-24, 24)}
    assume(around == {local.utcoffset()})
    assert matches(parsed, local)
