"""Settings go from version to version: what is valid stays, what is not waits, what lacks is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from marketplace import settings_schema
from tests.zelavis.releases import MODULE, approved
from zelavis import carry

pytestmark = pytest.mark.django_db
ECHO = MODULE.replace("{ saves: await", "{ settings: ctx.settings, saves: await")
FIRST = {
    "greeting": {"type": "string"},
    "limit": {"type": "integer"},
    "key": {"type": "string", "format": "secret"},
}


def schema(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


@pytest.fixture
def installed(api: APIClient, tmp_path: Path) -> APIClient:
    """Version 1.0.0 serves with all its settings given."""
    approved(tmp_path, module=ECHO, settings=schema(FIRST))
    assert api.post("/api/plugins/counter/install", {}, format="json").status_code == 200
    values = {"greeting": "Hello", "limit": 3, "key": "hidden!"}
    assert api.patch("/api/plugins/counter", {"settings": values}, format="json").status_code == 200
    return api


def seen(api: APIClient) -> Any:
    """The settings as the plugin sees them."""
    return api.get("/plugins/counter/stats").json()["settings"]


def test_what_is_valid_goes_along_and_the_rest_comes_back(installed: APIClient, tmp_path: Path) -> None:
    """H10: a setting of another type or that is gone stays behind, in words; roll back returns it."""
    second = {"greeting": {"type": "integer"}, "limit": {"type": "integer"}, "key": FIRST["key"]}
    approved(tmp_path, version="1.1.0", module=ECHO, settings=schema(second))
    answer = installed.post("/api/plugins/counter/update", {}, format="json").json()
    assert answer["plugin"]["settings"] == {"limit": 3, "key": "********"}
    assert seen(installed) == {"limit": 3, "key": "hidden!"}
    [line] = [event for event in answer["activation"]["events"] if event["step"] == "settings"]
    assert line["message"] == "kept key, limit; left behind greeting (expected a whole number)"
    assert "hidden!" not in str(answer)
    assert installed.patch("/api/plugins/counter", {"settings": {"limit": 9}}, format="json").status_code == 200
    installed.post("/api/plugins/counter/rollback", {}, format="json")
    assert seen(installed) == {"greeting": "Hello", "limit": 9, "key": "hidden!"}


def test_a_setting_that_is_newly_required_is_asked_for(installed: APIClient, tmp_path: Path) -> None:
    """409 with its schema and nothing changed; the request repeated with a value goes through, a wrong one does not."""
    required = {**FIRST, "region": {"type": "string", "enum": ["eu", "us"]}}
    approved(tmp_path, version="1.1.0", module=ECHO, settings=schema(required, "region", "limit"))
    answer = installed.post("/api/plugins/counter/update", {}, format="json")
    assert (answer.status_code, answer.json()["error"]) == (409, "settings_required")
    assert answer.json()["fields"] == {"region": required["region"]}
    assert installed.get("/api/plugins/counter").json()["version"] == "1.0.0"
    wrong = installed.post("/api/plugins/counter/update", {"settings": {"region": "moon"}}, format="json")
    assert (wrong.status_code, wrong.json()["error"]) == (422, "invalid_settings")
    given_ = installed.post("/api/plugins/counter/update", {"settings": {"region": "eu"}}, format="json")
    assert given_.status_code == 200, given_.json()
    assert seen(installed) == {"greeting": "Hello", "limit": 3, "key": "hidden!", "region": "eu"}


def test_an_install_asks_too(api: APIClient, tmp_path: Path) -> None:
    """A first install needs what is required and takes it with the request; a default is enough."""
    fields = {"region": {"type": "string"}, "limit": {"type": "integer", "default": 5}}
    approved(tmp_path, module=ECHO, settings=schema(fields, "region", "limit"))
    answer = api.post("/api/plugins/counter/install", {}, format="json")
    assert (answer.json()["error"], list(answer.json()["fields"])) == ("settings_required", ["region"])
    answer = api.post("/api/plugins/counter/install", {"settings": {"region": "eu"}}, format="json")
    assert answer.status_code == 200, answer.json()
    assert seen(api) == {"region": "eu"}


def test_the_candidate_of_a_staged_update_has_settings_of_its_own(installed: APIClient, tmp_path: Path) -> None:
    """Each version sees the settings as it takes them, side by side; a halt leaves the old ones untouched."""
    second = {"limit": {"type": "string"}, "more": {"type": "string"}}
    approved(tmp_path, version="1.1.0", module=ECHO, settings=schema(second, "more"))
    body = {"percent": 50, "settings": {"more": "yes"}}
    assert installed.post("/api/plugins/counter/update", body, format="json").status_code == 202
    found = {str(sorted(seen(installed))) for _ in range(20)}
    assert found == {"['more']", "['greeting', 'key', 'limit']"}
    installed.post("/api/plugins/counter/rollback", {}, format="json")
    assert seen(installed) == {"greeting": "Hello", "limit": 3, "key": "hidden!"}


_FIELDS = st.sampled_from(
    [{"type": "string"}, {"type": "integer", "minimum": 2}, {"type": "boolean"}, {"type": "string", "enum": ["a"]}]
)
_VALUES = st.one_of(st.text(max_size=3), st.integers(-5, 5), st.booleans(), st.none(), st.just("a"))
_NAMES = st.sampled_from(["one", "two", "three"])


@hypothesis.settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    properties=st.dictionaries(_NAMES, _FIELDS),
    required=st.sets(_NAMES),
    sources=st.lists(st.dictionaries(_NAMES, _VALUES), max_size=3),
)
def test_what_is_carried_is_valid(properties: Any, required: set[str], sources: list[Any]) -> None:
    """Whatever comes along: the values fit the schema but for what is told as missing, and no name is lost."""
    wanted = schema(properties, *sorted(required & set(properties)))
    carried = carry.carry(wanted, *sources)
    if wanted["properties"]:
        wrong = settings_schema.value_problems(wanted, carried.values)
        assert {path.lstrip("/") for path, _ in wrong} == set(carried.missing)
    assert set(carried.values) | set(carried.dropped) == {name for source in sources for name in source}
    assert not set(carried.values) & set(carried.dropped)
