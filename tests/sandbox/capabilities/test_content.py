"""content:read and content:write against a source in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sandbox.capabilities import content
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.errors import CommitError
from tests.sandbox.capabilities.harness import ask, code_of, make

READ = {"content:read": {"reason": "t"}}
BOTH = {**READ, "content:write": {"reason": "t"}}


class _Pages:
    shape = content.Shape(readable=("title", "body"), filterable=("title",), writable=("title",))

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {
            str(number): {"id": number, "title": f"t{number}", "body": "b", "hidden": "h"} for number in range(1, 4)
        }

    def get(self, id: str) -> Mapping[str, Any] | None:  # noqa: A002
        return self.rows.get(id)

    def list(self, *, where: Mapping[str, Any], after: str | None, limit: int) -> list[Mapping[str, Any]]:
        found = [row for row in self.rows.values() if all(row[key] == value for key, value in where.items())]
        return [row for row in found if after is None or row["id"] > int(after)][:limit]

    def judge(self, id: str | None, values: Mapping[str, Any] | None, *, call: Any) -> Mapping[str, Any]:  # noqa: A002
        return values or {}

    def create(self, values: Mapping[str, Any], *, call: Any) -> str:
        if values["title"] == "bad":
            raise content.InvalidContent("title: not this one")
        self.rows["9"] = {"id": 9, **values}
        return "9"

    def update(self, id: str, values: Mapping[str, Any], *, call: Any) -> None:  # noqa: A002
        self.rows[id].update(values)

    def delete(self, id: str, *, call: Any) -> None:  # noqa: A002
        del self.rows[id]


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Pages]:
    source = _Pages()
    monkeypatch.setitem(content.SOURCES, "pages", source)
    return source


def test_only_readable_fields_are_seen(pages: _Pages) -> None:
    """D08: an item has its id and the readable fields, whatever the source holds."""
    session = make(READ, backend=MemoryBackend())
    assert ask(session, "content_read", "get", "pages", 1) == {"id": "1", "title": "t1", "body": "b"}
    page = ask(session, "content_read", "list", "pages", {"limit": 2})
    assert [item["id"] for item in page["items"]] == ["1", "2"]
    assert page["cursor"] == "2"
    assert all("hidden" not in item for item in page["items"])


def test_fields_and_collections_are_lists_of_names(pages: _Pages) -> None:
    """D09: what cannot be filtered by or written is refused, and so is a collection that was not granted."""
    session = make(BOTH, backend=MemoryBackend())
    assert code_of(session, "content_read", "list", "pages", {"where": {"hidden": "h"}}) == "field_not_allowed"
    assert code_of(session, "content_read", "list", "pages", {"where": {"title__in": "h"}}) == "field_not_allowed"
    assert code_of(session, "content_write", "update", "pages", 1, {"body": "x"}) == "field_not_allowed"
    assert code_of(session, "content_read", "get", "auth.user", 1) == "collection_not_granted"
    narrow = make({"content:read": {"reason": "t", "collections": ["other"]}}, backend=MemoryBackend())
    assert code_of(narrow, "content_read", "get", "pages", 1) == "collection_not_granted"


def test_changes_are_applied_when_the_call_ends(pages: _Pages) -> None:
    """Changes are seen by the call at once and by the site only after it ended ok."""
    session = make(BOTH, backend=MemoryBackend())
    ask(session, "content_write", "update", "pages", 1, {"title": "new"})
    assert ask(session, "content_read", "get", "pages", 1)["title"] == "new"
    assert pages.rows["1"]["title"] == "t1"
    assert ask(session, "content_write", "delete", "pages", 2) is True
    assert ask(session, "content_read", "get", "pages", 2) is None
    ask(session, "content_write", "create", "pages", {"title": "made"})
    session.commit()
    assert sorted(pages.rows) == ["1", "3", "9"]
    assert pages.rows["1"]["title"] == "new"
    assert code_of(make(BOTH), "content_write", "update", "pages", 77, {"title": "x"}) == "not_found"


def test_content_the_site_refuses_fails_the_call(pages: _Pages) -> None:
    """A value the source does not take makes the commit fail with its reason."""
    session = make(BOTH, backend=MemoryBackend())
    ask(session, "content_write", "create", "pages", {"title": "bad"})
    with pytest.raises(CommitError, match="not this one"):
        session.commit()


def test_hooks_that_write_content_end_at_a_depth(pages: _Pages) -> None:
    """B15: a call that is two hooks deep may read content and not write it."""
    session = make(BOTH, backend=MemoryBackend(), depth=2)
    ask(session, "content_read", "get", "pages", 1)
    assert code_of(session, "content_write", "update", "pages", 1, {"title": "x"}) == "depth_exceeded"


@pytest.mark.parametrize(
    ("field", "value"),
    [("is_active", "yes"), ("is_active", ""), ("pk", "abc"), ("pk", True), ("pk", 2**63), ("pk", 1.5)],
)
def test_a_filter_that_its_field_cannot_have(
    db: None, pages: _Pages, monkeypatch: pytest.MonkeyPatch, django_user_model: Any, field: str, value: Any
) -> None:
    """A value that a model's field refuses is the plugin's mistake, or finds nothing; never a failure of the host."""

    def rows(*, where: Mapping[str, Any], after: str | None, limit: int) -> list[Mapping[str, Any]]:
        return list(django_user_model.objects.filter(**{field: where["title"]}).values()[:limit])

    monkeypatch.setattr(pages, "list", rows)
    session = make(READ, backend=MemoryBackend())
    assert code_of(session, "content_read", "list", "pages", {"where": {"title": value}}) in ("invalid_argument", "")
    assert session.host_error is None


def test_a_source_that_fails_by_itself_is_the_hosts_fault(pages: _Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a value of the plugin's, an error of the source stays what it is."""

    def broken(**named: Any) -> list[Mapping[str, Any]]:
        raise ValueError("a bug")

    monkeypatch.setattr(pages, "list", broken)
    session = make(READ, backend=MemoryBackend())
    assert code_of(session, "content_read", "list", "pages") == "host_error"
