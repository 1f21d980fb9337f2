"""Lengths of time."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.manifests import durations

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


@given(st.integers(0, 10_000), st.sampled_from(sorted(UNITS)))
def test_a_number_and_a_unit(number: int, unit: str) -> None:
    """Every unit is what it says, in milliseconds."""
    assert durations.parse(f"{number}{unit}") == number * UNITS[unit]


@given(st.floats(-1e15, 1e15))
def test_numbers_are_milliseconds(number: float) -> None:
    """A plain number is taken as milliseconds, cut to whole ones."""
    assert durations.parse(number) == int(number)


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "5", "5 s", "-5s", "1.5h", "5S", "5y", "s", "٥s", "5s\n", "9" * 40 + "w", "999999999999999w"),
        *(None, True, [], {}, float("nan"), float("inf"), 1e300),
    ],
)
def test_anything_else_is_refused(wrong: object) -> None:
    """Other forms raise an error and are never guessed at."""
    with pytest.raises(durations.DurationError):
        durations.parse(wrong)


@given(st.text(max_size=8) | st.integers() | st.floats() | st.none() | st.booleans())
def test_a_result_is_a_time_that_a_date_can_hold(value: object) -> None:
    """Whatever comes in, the result is a whole number within a date's range, or an error."""
    with contextlib.suppress(durations.DurationError):
        assert abs(durations.parse(value)) <= durations.LONGEST
