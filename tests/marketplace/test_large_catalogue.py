"""Lists, searches and queues of a catalogue: how many queries a page asks, and that no row gets lost on the way down.

How long they take with 50,000 plugins and 300,000 releases is measured by ``python -m tests.benchmarks.catalogue``.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from marketplace import catalogue
from marketplace.admin import lists
from marketplace.models import Plugin, Release
from tests.benchmarks import catalogue_pages, catalogue_rows
from zelavis import tokens

pytestmark = pytest.mark.django_db
MOST_QUERIES = 20


@pytest.fixture
def shelf(db: None) -> Client:
    """A catalogue of 150 plugins with 900 releases, and somebody who may see all of it."""
    catalogue_rows.build(150, 900)
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(username="root"))
    return client


def test_no_page_asks_more_than_twenty_queries(shelf: Client) -> None:
    """Every list, search and queue page, first and deep, with each facet and order, asks at most 20 queries."""
    _, secret = tokens.create("tests", ["*"], owner=User.objects.get(username="root"))
    seen = 0
    for group, pages in catalogue_pages.groups():
        for name, url in pages[:: max(1, len(pages) // 8)]:
            cache.clear()
            token = {"HTTP_AUTHORIZATION": f"Bearer {secret}"} if url.startswith("/api/") else {}
            with CaptureQueriesContext(
                connection,
            ) as captured:
                answer = shelf.get(url, **token)
            assert answer.status_code == 200, (group, name, url, answer.status_code)
            assert len(captured) <= MOST_QUERIES, (group, name, len(captured))
            seen += 1
    assert seen > 150


def _links(page: str) -> list[str]:
    return re.findall(r'<th class="field-[a-z_]+"><a href="/admin/marketplace/[a-z]+/([^/]+)/change/', page)


@pytest.mark.parametrize(("name", "order"), [("release", ""), ("release", "o=6&"), ("plugin", ""), ("plugin", "o=-7&")])
def test_a_capped_list_leads_to_every_row(
    shelf: Client, monkeypatch: pytest.MonkeyPatch, name: str, order: str
) -> None:
    """Page after page, and behind the last of them, each row comes once, in the order asked for."""
    monkeypatch.setattr(lists, "MOST", 110)
    url: str | None = reverse(f"admin:marketplace_{name}_changelist") + "?" + order
    found: list[str] = []
    while url:
        pages = 0
        for number in (1, 2, 3):
            page = shelf.get(f"{url}&p={number}").content.decode()
            if number > 1 and _links(page)[0] == found[-pages]:
                break  # there is no such page: the first is shown
            found += _links(page)
            pages += len(_links(page))
        behind = re.search(r'<a href="(\?[^"]*)">go on behind', page)
        url = reverse(f"admin:marketplace_{name}_changelist") + unescape(behind[1]) if behind else None
    model: Any = {"release": Release, "plugin": Plugin}[name]
    column = {"": {"release": "-submitted_at", "plugin": "name"}[name], "o=6&": "submitted_at", "o=-7&": "-updated_at"}
    key = "-pk" if column[order].startswith("-") else "pk"
    expected = [str(pk) for pk in model.objects.order_by(column[order], key).values_list("pk", flat=True)]
    assert [one.replace("_5F", "_") for one in found] == expected


def test_a_column_without_an_index_is_no_order(shelf: Client) -> None:
    """An order that is not offered is not followed, also when somebody writes it into the address."""
    url = reverse("admin:marketplace_release_changelist")
    plain = _links(shelf.get(url).content.decode())
    for order in ("1", "-2", "3.1", "99", "x"):
        assert _links(shelf.get(f"{url}?o={order}").content.decode()) == plain


def test_many_matches_are_found_as_few_are(shelf: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether keys are looked up or asked about while an index is walked, a search finds the same."""
    from marketplace import lookups

    queries = [
        catalogue.Query(**one)
        for one in (
            {"text": "co"},
            {"capability": "kv"},
            {"without": "kv"},
            {"text": "f", "keyword": "page"},
            {"text": "co", "without": "http"},
        )
    ]
    url = reverse("admin:marketplace_release_changelist")
    few = [[plugin.pk for plugin in catalogue.search(query, limit=100).plugins] for query in queries]
    listed = _links(shelf.get(f"{url}?q=co").content.decode())
    monkeypatch.setattr(lookups, "FEW", 0)
    assert [[plugin.pk for plugin in catalogue.search(query, limit=100).plugins] for query in queries] == few
    assert _links(shelf.get(f"{url}?q=co").content.decode()) == listed
    assert all(few[:3])
    assert listed
