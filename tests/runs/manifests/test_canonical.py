"""The identity of events."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.jsontext import ABSENT
from runs.manifests import canonical

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e21, "1e+21"),
        (123456789012345680000, "123456789012345680000"),
        (12345678901234567890, "12345678901234567000"),
        (1e-6, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (10**400, "null"),
        (math.inf, "null"),
        (100, "100"),
        (1e20, "100000000000000000000"),
    ],
)
def test_numbers_are_printed_as_javascript_does(value: float, text: str) -> None:
    """The shortest digits that give the double back, plain between 1e-6 and 1e21."""
    assert canonical.number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(value: float) -> None:
    """The text of a number reads back as the same double."""
    assert float(canonical.number(value)) == value


def test_index_keys_come_first() -> None:
    """Keys stand as in a JavaScript object: small whole numbers first, by value, then the others by UTF-16 units."""
    keys = ["b", "10", "2", "a", "01", "-1", "4294967295", "4294967294", "é", "\U0001f600", "\uffee"]
    assert list(json.loads(canonical.canonical_json(dict.fromkeys(keys)))) == [
        *("2", "10", "4294967294", "-1", "01", "4294967295", "a", "b", "é", "\U0001f600", "\uffee"),
    ]


@given(values)
def test_the_text_is_json_of_the_same_value(value: object) -> None:
    """Nothing is lost but key order and the kinds of numbers."""
    expected = json.loads(json.dumps(value), parse_int=float)
    assert json.loads(canonical.canonical_json(value), parse_int=float) == expected


@given(st.dictionaries(st.text(max_size=3), values, max_size=6), st.randoms())
def test_order_does_not_matter(value: dict[str, object], random: object) -> None:
    """Two objects that differ in key order only have one text."""
    items = list(value.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert canonical.canonical_json(dict(items)) == canonical.canonical_json(value)


def test_event_ids() -> None:
    """An id given by the caller is taken; otherwise name, time and data make one that is safe in a path."""
    assert canonical.event_id("a", "t", {}, {"eventId": "given"}) == "given"
    made = canonical.event_id("order/paid", "2026-01-02T03:04:05.678Z", {"b": 1, "a": 2})
    assert made == canonical.event_id("order/paid", "2026-01-02T03:04:05.678Z", {"a": 2.0, "b": 1.0})
    assert made.startswith("evt_order_paid_2026_01_02T03_04_05.678Z_")
    assert canonical.event_id("x", "t", ABSENT) == canonical.event_id("x", "t", None)
    assert canonical.event_id("x\U0001f600", "t", None).startswith("evt_x___t_")
