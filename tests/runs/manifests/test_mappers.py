"""What of an event becomes the input of a run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.jsontext import ABSENT
from runs.manifests.mappers import MapperError, project

ENVELOPE = {"name": "n", "emittedAt": "t", "data": {"a": 1, "deep": [{"b": None}]}}


@pytest.mark.parametrize(
    ("mapper", "value"),
    [
        (ABSENT, ENVELOPE["data"]),
        ({"passthrough": True}, ENVELOPE["data"]),
        ({"path": "data.a"}, 1),
        ({"path": "data.deep[0].b"}, None),
        ({"path": "data.nope"}, ABSENT),
        ({"path": "metadata.x"}, ABSENT),
        ({"object": {}}, {}),
        (
            {"object": {"x": {"path": "data.a"}, "y": {"lit": [1]}, "z": {"object": {"n": {"path": "name"}}}}},
            {"x": 1, "y": [1], "z": {"n": "n"}},
        ),
        ({"object": {"gone": {"path": "data.nope"}, "null": {"lit": None}}}, {"null": None}),
        ({"object": {"all": {"passthrough": True}}}, {"all": ENVELOPE["data"]}),
    ],
)
def test_projections(mapper: Any, value: Any) -> None:
    """Data as it is, one value of it, or an object made of several; members that resolve to nothing are left out."""
    assert project(mapper, ENVELOPE) == value


@pytest.mark.parametrize(
    "mapper",
    [
        *(None, 1, "data", [], {}, {"passthrough": False}, {"path": ""}, {"path": 1}, {"object": None}, {"other": 1}),
        *({"object": {"x": 1}}, {"object": {"x": None}}, {"object": {"x": {"path": ""}}}, {"object": {"x": {}}}),
    ],
)
def test_malformed_mappers_are_errors(mapper: Any) -> None:
    """A mapper of another form raises an error, so that its filter is skipped and says why."""
    with pytest.raises(MapperError):
        project(mapper, ENVELOPE)


def test_an_event_without_data_gives_a_run_without_input() -> None:
    """Absent stays absent and does not become null."""
    assert project(ABSENT, {"name": "n", "emittedAt": "t"}) is ABSENT


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.none() | st.text(max_size=5), max_size=5))
def test_literals_are_copied(members: dict[str, Any]) -> None:
    """An object of literals is that object, in its order."""
    mapper = {"object": {name: {"lit": value} for name, value in members.items()}}
    made = project(mapper, ENVELOPE)
    assert list(made.items()) == list(members.items())
