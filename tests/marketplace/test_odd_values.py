"""Values of the right shape and the wrong kind: in settings schemas, cursors and signed feeds."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from marketplace import following, settings_schema, signatures
from marketplace.errors import FeedRefused
from marketplace.models import FeedSource, Release
from tests.marketplace import kit
from tests.marketplace.test_api_publish import client, publish
from tests.marketplace.test_feeds import line, sealed

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ({"type": "string", "format": []}, "/format"),
        ({"type": "string", "format": {}}, "/format"),
        ({"type": "integer", "minimum": "x", "default": 5}, "/minimum"),
        ({"type": "string", "minLength": "x", "default": "5"}, "/minLength"),
        ({"type": "string", "enum": 5, "default": "5"}, "/enum"),
        ({"type": "array", "items": {"type": "string"}, "maxItems": "x", "default": []}, "/maxItems"),
    ],
)
def test_a_field_of_the_wrong_kind_is_a_problem_and_no_crash(field: dict[str, Any], place: str) -> None:
    """A member of a settings field that has the wrong JSON type is told by its place, also beside a default."""
    schema = {"type": "object", "properties": {"a": field}}
    assert [where for where, _ in settings_schema.problems(schema)] == [f"/properties/a{place}"]


@pytest.mark.parametrize("required", [[1], [["a"]], [None], "a"])
def test_required_names_fields_by_text(required: Any) -> None:
    """What ``required`` lists are names; anything else would break every form that is drawn from it."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": required}
    assert [where for where, _ in settings_schema.problems(schema)] == ["/required"]


def test_a_manifest_with_odd_settings_is_refused_with_its_place() -> None:
    """A settings schema of the wrong kinds in a bundle is a refusal that names it, not a server error."""
    _, owner = kit.publisher()
    by = client(owner.user, "marketplace:publish")
    for settings, place in (
        ({"type": "object", "properties": {"a": {"type": "string", "format": []}}}, "/settings/properties/a/format"),
        ({"type": "object", "properties": {}, "required": [["a"]]}, "/settings/required"),
    ):
        answer = publish(by, kit.bundle(settings=settings))
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, place)
    assert not Release.objects.exists()


def cursor(value: Any) -> str:
    """A cursor of somebody's own making."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("popular", {"sort": "popular", "value": "many", "id": 1}),
        ("popular", {"sort": "popular", "value": [1], "id": 1}),
        ("popular", {"sort": "popular", "value": None, "id": 1}),
        ("popular", '{"sort": "popular", "value": 1e999, "id": 1}'),
        ("popular", '{"sort": "popular", "value": 1, "id": 1e999}'),
        ("popular", '{"sort": "popular", "value": NaN, "id": 1}'),
        ("popular", "[" * 700),
        ("updated", {"sort": "updated", "value": "yesterday", "id": 1}),
        ("updated", {"sort": "updated", "value": 5, "id": 1}),
        ("updated", {"sort": "updated", "value": "0001-01-01T00:00:00+14:00", "id": 1}),
        ("name", {"sort": "name", "value": {"a": "\0"}, "id": 1}),
        ("name", {"sort": "name", "value": "a\0", "id": 1}),
    ],
)
def test_a_cursor_of_somebodys_own_making_is_refused(sort: str, value: Any) -> None:
    """A cursor that this server did not make is a bad request, in the API and on the page."""
    _, owner = kit.publisher()
    kit.approved(owner, kit.curator())
    given = {"sort": sort, "cursor": cursor(value)}
    answer = APIClient().get("/api/marketplace/plugins", given)
    assert answer.status_code == 400, answer.content
    assert Client().get("/marketplace/", given).status_code == 400


def test_a_cursor_nested_without_end_is_refused() -> None:
    """The page reads no cursor longer than the API does."""
    assert Client().get("/marketplace/", {"cursor": cursor("[" * 20_000)}).status_code == 400


@pytest.fixture
def source() -> FeedSource:
    """A source that trusts this server's own key."""
    return FeedSource.objects.create(
        name="elsewhere", url="https://feed.example/feed", public_key=signatures.server_public_key(), policy="closed"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"serial": 2**63},
        {"serial": True},
        {"expiresAt": "9999-12-31T23:59:59-14:00"},
        {"issuedAt": "0001-01-01T00:00:00+14:00"},
        {"serial": 9, "revocations": [{**line(9, "a" * 64), "serial": -(2**63) - 1}]},
        {"serial": 9, "revocations": [line(8, "a" * 64), line(9, "a" * 64)]},
        {"serial": 9, "revocations": [line(9, "a" * 64), line(9, "b" * 64)]},
    ],
)
def test_a_signed_feed_with_odd_numbers_is_refused_as_invalid(source: FeedSource, changes: dict[str, Any]) -> None:
    """What no column holds, and what says two things of one digest or serial, is refused before anything is kept."""
    now = timezone.now()
    with pytest.raises(FeedRefused) as caught:
        following.accept(source, sealed(now, **changes), now=now)
    assert caught.value.members["outcome"] == "invalid"
    source.refresh_from_db()
    assert (source.serial, source.expires_at) == (0, None)


def test_a_feed_good_until_the_last_day_of_the_calendar_is_fresh(source: FeedSource) -> None:
    """An expiry at the end of the calendar leaves no room for the grace, and none is needed."""
    now = timezone.now()
    following.accept(source, sealed(now, expiresAt="9999-12-31T23:59:59+00:00"), now=now)
    assert following.is_fresh(source, now=now)
    following.refuse_revoked("a" * 64, "save-count 1.0.0", now=now)
    assert following.state(source, now=datetime(9999, 12, 31, 23, 59, 58, tzinfo=UTC) + timedelta(0)) == "fresh"
