"""What the API takes for a body, a page size and a cursor."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.zelavis.plugs import serve

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("body", [None, [], "x", 0, {"reason": 0}, {"order": True}, {"order": "1"}, {"status": 1}])
def test_json_of_another_kind_is_refused(api: Any, scripted: Any, body: Any) -> None:
    """A null, a number for a text, a truth for a number: a 400 that changes nothing, never a guess."""
    before = serve("one")
    answer = api.generic("PATCH", "/api/plugins/one", json.dumps(body), content_type="application/json")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_body")
    before.refresh_from_db()
    assert before.status == "installed"


def test_no_body_at_all_is_an_empty_one(api: Any, scripted: Any) -> None:
    """A verb that needs no reason is done without a body."""
    serve("one")
    assert api.delete("/api/plugins/one/breaker").status_code in (200, 204)
    assert api.post("/api/plugins/one/activate").status_code in (200, 202)


@pytest.mark.parametrize("limit", ["0", "-1", "201", "x", "", "1e1", "9" * 30, "٣"])
def test_a_limit_is_a_number_in_bounds(api: Any, limit: str) -> None:
    """Every list refuses a page size it does not give, instead of giving another."""
    for path in ("/api/activations", "/api/invocations", "/api/hooks/events"):
        answer = api.get(path, {"limit": limit})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), path


def test_a_cursor_is_one_that_was_given_out(api: Any) -> None:
    """A made-up cursor is a bad request: the list itself is there."""
    answer = api.get("/api/activations", {"cursor": "nonsense"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "position", ["", "abc", "2026-13-45 00:00:00+00:00", "2026-01-01 00:00:00", "0001-01-01 00:00:00+14:00"]
)
def test_a_cursor_without_a_time_is_none_that_was_given_out(api: Any, position: str) -> None:
    """A cursor of the right make that names no moment a row can have is a bad request in every list, not a fault."""
    for turned in ("", "r=1&"):
        cursor = base64.b64encode(f"{turned}p={quote(position, safe='')}".encode()).decode()
        for path in ("/api/activations", "/api/invocations", "/api/hooks/events", "/api/updates"):
            answer = api.get(path, {"cursor": cursor})
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), path
