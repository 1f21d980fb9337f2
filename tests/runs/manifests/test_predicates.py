"""The language of event filters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.jsontext import ABSENT
from runs.manifests import predicates
from runs.manifests.predicates import PredicateError, evaluate, resolve_path

ENVELOPE = {
    "name": "order.paid",
    "emittedAt": "2026-01-01T00:00:00Z",
    "metadata": {"source": "shop", "a.b": 1},
    "data": {"total": 150, "vip": True, "note": None, "items": [{"id": "i1"}, {"id": "i2"}], "text": "150", "one": 1},
}


def path(text: str) -> dict[str, Any]:
    return {"path": text}


def lit(value: Any) -> dict[str, Any]:
    return {"lit": value}


YES, NO = {"lit": True}, {"lit": False}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("name", "order.paid"),
        ("emittedAt", "2026-01-01T00:00:00Z"),
        ("data.total", 150),
        ("data.items[1].id", "i2"),
        ("data.items.1.id", "i2"),
        ("data.items.length", 2),
        ("data..total", 150),
        ("data.note", None),
        ("metadata.source", "shop"),
        ("data.items[2].id", ABSENT),
        ("data.items[x]", ABSENT),
        ("data.items[0", ABSENT),
        ("data.items[-1]", ABSENT),
        ("data.total.x", ABSENT),
        ("data.note.x", ABSENT),
        ("data.total[0]", ABSENT),
        ("other", ABSENT),
        ("", ABSENT),
        (7, ABSENT),
        ("[0]", ABSENT),
    ],
)
def test_paths(text: Any, value: Any) -> None:
    """A path leads through members and ``[n]``; where nothing stands, or the path is malformed, there is nothing."""
    assert resolve_path(text, ENVELOPE) == value


@pytest.mark.parametrize(
    ("predicate", "fits"),
    [
        ({"eq": [path("data.total"), lit(150)]}, True),
        ({"eq": [path("data.total"), lit(150.0)]}, True),
        ({"eq": [path("data.text"), lit(150)]}, False),
        ({"eq": [path("data.vip"), lit(1)]}, False),
        ({"eq": [path("data.one"), YES]}, False),
        ({"eq": [path("data.note"), lit(None)]}, True),
        ({"eq": [path("data.missing"), lit(None)]}, False),
        ({"eq": [path("data.missing"), path("data.gone")]}, False),
        ({"eq": [path("data.items"), path("data.items")]}, False),
        ({"eq": [path("data"), path("data")]}, False),
        ({"neq": [path("data.missing"), lit(1)]}, True),
        ({"neq": [path("data.total"), lit(150)]}, False),
        ({"gt": [path("data.total"), lit(149.5)]}, True),
        ({"gte": [path("data.total"), lit(150)]}, True),
        ({"lt": [path("data.total"), lit("999")]}, False),
        ({"lte": [path("data.missing"), lit(1)]}, False),
        ({"lt": [path("data.text"), lit("16")]}, True),
        ({"gt": [path("data.vip"), NO]}, False),
        ({"gt": [lit("\uffee"), lit("\U0001f600")]}, True),
        ({"in": [path("data.total"), [lit(1), lit(150)]]}, True),
        ({"in": [path("data.missing"), [path("data.gone")]]}, False),
        ({"in": [path("data.total"), []]}, False),
        ({"exists": path("data.note")}, True),
        ({"exists": path("data.missing")}, False),
        ({"exists": lit(None)}, True),
        ({"exists": {}}, False),
        ({"not": {"exists": path("data.missing")}}, True),
        ({"and": []}, True),
        ({"or": []}, False),
        ({"and": [{"exists": path("data")}, {"eq": [path("name"), lit("order.paid")]}]}, True),
        ({"or": [{"exists": path("data.missing")}, {"exists": path("data.total")}]}, True),
        # Of several operators in one object the first of the list counts.
        ({"or": [], "eq": [lit(1), lit(1)]}, True),
        ({"eq": [{"lit": 1, "path": "name"}, lit(1)]}, True),
    ],
)
def test_operators(predicate: Any, fits: bool) -> None:
    """No conversion between types, null equals null, what is absent compares false."""
    assert evaluate(predicate, ENVELOPE) is fits


@pytest.mark.parametrize(
    "predicate",
    [
        *(
            None,
            1,
            "eq",
            [],
            {},
            {"xor": []},
            {"eq": 1},
            {"eq": [lit(1)]},
            {"eq": ["a", "b"]},
            {"in": [lit(1), lit(1)]},
        ),
        *({"in": [lit(1), [2]]}, {"and": {}}, {"or": [1]}, {"not": None}, {"exists": None}, {"gt": {"0": 1}}),
    ],
)
def test_malformed_predicates_are_errors(predicate: Any) -> None:
    """A predicate that is not of the language raises an error, so that its filter is skipped and says why."""
    with pytest.raises(PredicateError):
        evaluate(predicate, ENVELOPE)


sides = st.sampled_from(["data.total", "data.note", "data.items[0].id", "name", "nope", "data.missing"]).map(path) | (
    st.none() | st.booleans() | st.integers(-3, 200) | st.sampled_from(["150", "i1", "", "order.paid"])
).map(lit)
pairs = st.tuples(sides, sides).map(list)
trees = st.recursive(
    st.sampled_from(["eq", "neq", "gt", "gte", "lt", "lte"]).flatmap(lambda op: pairs.map(lambda pair: {op: pair}))
    | sides.map(lambda side: {"exists": side})
    | st.tuples(sides, st.lists(sides, max_size=3)).map(lambda both: {"in": list(both)}),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: {"and": parts})
        | st.lists(inner, max_size=3).map(lambda parts: {"or": parts})
        | inner.map(lambda part: {"not": part})
    ),
    max_leaves=8,
)


@given(trees)
def test_every_predicate_has_an_answer(tree: dict[str, Any]) -> None:
    """What is well formed is true or false for any event, and its negation is the other."""
    assert evaluate(tree, ENVELOPE) is not evaluate({"not": tree}, ENVELOPE)


@given(st.lists(trees, max_size=4))
def test_de_morgan(parts: list[Any]) -> None:
    """``and`` and ``or`` are each other's mirror."""
    negated = [{"not": part} for part in parts]
    assert evaluate({"and": parts}, ENVELOPE) is not evaluate({"or": negated}, ENVELOPE)


@given(sides, sides)
def test_order_and_equality_agree(left: Any, right: Any) -> None:
    """At most one of less, equal and greater holds, and the inclusive forms are their unions where types agree."""
    holds = {op: evaluate({op: [left, right]}, ENVELOPE) for op in ("lt", "gt", "eq", "lte", "gte")}
    assert holds["lt"] + holds["gt"] + holds["eq"] <= 1
    assert not holds["lt"] or holds["lte"]
    assert not holds["gt"] or holds["gte"]


@given(st.text(max_size=20))
def test_no_path_breaks(text: str) -> None:
    """Any text can be asked for; at worst there is nothing."""
    predicates.split_path(text)
    resolve_path(text, ENVELOPE)
    resolve_path(f"data.items{text}", ENVELOPE)


@pytest.mark.parametrize("digits", ["9" * 5000, "9" * 16, "0" * 5000 + "9"])
def test_an_index_of_any_length_is_an_index(digits: str) -> None:
    """However many digits a place in a list has, an event is answered: nothing stands there."""
    assert resolve_path(f"data.items[{digits}].id", ENVELOPE) is ABSENT
    assert resolve_path(f"data.items[{'0' * 5000}1].id", ENVELOPE) == "i2"
