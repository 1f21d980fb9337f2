"""The list, search and queue pages of the marketplace: every facet and order that is offered, first and deep."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from django.urls import reverse

API = "/api/marketplace/plugins"
#: Facet → a value that many plugins have.
FACETS = {
    "capability": "kv",
    "without": "kv",
    "keyword": "page",
    "license": "MIT",
    "kind": "wasm",
    "source": "official",
    "publisher": "publisher-3",
}


def groups() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """``(row of the table, [(what it is, URL)])``. Needs the rows of :mod:`tests.benchmarks.catalogue_rows`."""
    from marketplace.models import Plugin, Release

    plugin = Plugin.objects.public().order_by("-pk")[0]
    waiting = Release.objects.waiting()[0]
    yield "API: list in each order, first page", [(sort, f"{API}?sort={sort}&limit=100") for sort in _sorts()]
    yield "API: list in each order, deep page", [(sort, f"{API}?sort={sort}&cursor={_deep(sort)}") for sort in _sorts()]
    yield "API: facets counted", [("facets", f"{API}?facets=1")]
    yield "API: each facet in each order, first page", list(_faceted(API, deep=False))
    yield "API: each facet in each order, deep page", list(_faceted(API, deep=True))
    words = ("count", "co", "count mail", "c page", "zzz", "publisher-3", plugin.name)
    yield "API: search", [(word, f"{API}?q={word.replace(' ', '+')}") for word in words]
    yield (
        "API: search with facets and orders",
        [
            (f"{word} {facet} {sort}", f"{API}?q={word}&{facet}={FACETS[facet]}&sort={sort}")
            for word, facet, sort in product(("co", "form"), FACETS, (*_sorts(), "relevance"))
        ],
    )
    yield (
        "API: two facets",
        [
            (f"{one} {two}", f"{API}?{one}={FACETS[one]}&{two}={value}")
            for one, two in product(FACETS, FACETS)
            if one < two
            for value in ("http" if two == "without" else FACETS[two],)
        ],
    )
    yield (
        "API: plugin, releases, ratings",
        [(part or "plugin", f"{API}/{plugin.name}{part}") for part in ("", "/releases", "/ratings")],
    )
    yield (
        "API: queue, first and deep",
        [
            ("first", "/api/marketplace/queue"),
            ("deep", f"/api/marketplace/queue?after={_middle_of_queue()}"),
        ],
    )
    yield "API: feed of revocations", [("feed", "/api/marketplace/feed")]
    pages = "/marketplace/"
    yield (
        "pages: list in each order, first and deep",
        [
            (sort + (" deep" if cursor else ""), f"{pages}?sort={sort}&cursor={cursor}")
            for sort in _sorts()
            for cursor in ("", _deep(sort))
        ],
    )
    yield "pages: each facet in each order, first page", list(_faceted(pages, deep=False))
    yield "pages: search", [(word, f"{pages}?q={word.replace(' ', '+')}") for word in words]
    yield (
        "pages: plugin, publisher, Atom feed",
        [
            ("plugin", f"/marketplace/plugins/{plugin.name}"),
            ("publisher", "/marketplace/publishers/publisher-3"),
            ("feed", "/marketplace/feed.atom"),
            ("feed of one", f"/marketplace/feed.atom?plugin={plugin.name}"),
        ],
    )
    queue = reverse("admin:marketplace_release_queue")
    yield (
        "admin: queue, first, deep, last",
        [(page, f"{queue}?page={page}") for page in ("1", "2", "40", "80", "last", "9999")],
    )
    yield "admin: queue, one's own", [("mine", f"{queue}?mine=1")]
    yield "admin: review page", [("review", reverse("admin:marketplace_release_change", args=[waiting.pk]))]
    yield "admin: home", [("home", reverse("admin:index"))]
    releases, plugins = (reverse(f"admin:marketplace_{name}_changelist") for name in ("release", "plugin"))
    behind = [("", ""), ("page 20", "&p=20"), ("deep", f"&behind={_at(Release.objects.order_by('-submitted_at'))}")]
    yield (
        "admin: releases in each order, first and deep",
        [(f"{name} {place}", f"{url}{more}") for name, url in _ordered(releases, 7) for place, more in behind],
    )
    yield (
        "admin: releases by each filter, first and deep",
        [
            (f"{chosen} p={page}", f"{releases}?{chosen}&p={page}")
            for chosen in (
                *(f"state__exact={state}" for state in ("approved", "submitted", "in_review", "yanked", "removed")),
                *("risk=high", "audit_state=passed", "audit_state=failed", "kind=wasm"),
                *(
                    "risk=high&state__exact=approved",
                    "kind=wasm&risk=low&state__exact=submitted",
                    "risk=low&audit_state=failed",
                ),
            )
            for page in (1, 20)
        ],
    )
    found = (*words, waiting.digest, "no-such-name")
    yield "admin: search releases", [(word, f"{releases}?q={word.replace(' ', '+')}") for word in found]
    yield (
        "admin: search releases with filter and order",
        [
            (f"{word} {more}", f"{releases}?q={word}&{more}")
            for word in ("co", "count", "publisher-3")
            for more in ("state__exact=approved", "risk=high", "o=6", "o=-6", "audit_state=failed", "p=20")
        ],
    )
    behind[2] = ("deep", f"&behind={_at(Plugin.objects.order_by('name'))}")
    yield (
        "admin: plugins in each order, first and deep",
        [(f"{name} {place}", f"{url}{more}") for name, url in _ordered(plugins, 7) for place, more in behind],
    )
    yield (
        "admin: plugins by filter and search",
        [
            (more, f"{plugins}?{more}")
            for more in (
                *("state__exact=listed", "state__exact=removed", "source__exact=official", "source__exact=community"),
                *("q=co", "q=count-mail", "q=publisher-3", "q=nothing", "q=co&source__exact=official", "q=co&o=3"),
            )
        ],
    )
    others = ("publisher", "feedentry", "feedsource")
    yield (
        "admin: publishers, feed, ratings",
        [
            (name + more, reverse(f"admin:marketplace_{name}_changelist") + more)
            for name, more in product(others, ("", "?q=publisher-3", "?p=20"))
        ],
    )


def _sorts() -> tuple[str, ...]:
    from marketplace import catalogue

    return tuple(catalogue.SORTS)


def _ordered(url: str, columns: int) -> list[tuple[str, str]]:
    """An admin list by every column, both ways."""
    return [(f"o={sign}{column}", f"{url}?o={sign}{column}") for column in range(1, columns + 1) for sign in ("", "-")]


def _faceted(base: str, *, deep: bool) -> Iterator[tuple[str, str]]:
    for (name, value), sort in product(FACETS.items(), _sorts()):
        yield f"{name} {sort}", f"{base}?{name}={value}&sort={sort}" + (f"&cursor={_deep(sort)}" if deep else "")


def _deep(sort: str) -> str:
    """A cursor four fifths down the list."""
    from marketplace import catalogue
    from marketplace.models import Plugin

    rows = Plugin.objects.public().order_by(*catalogue.SORTS[sort])
    row = rows[rows.count() * 4 // 5]
    return catalogue.cursor_after(row, sort)


def _at(rows: Any) -> Any:
    """The key four fifths down a list."""
    return rows.values_list("pk", flat=True)[rows.count() * 4 // 5]


def _middle_of_queue() -> str:
    from marketplace.models import Release

    waiting = Release.objects.waiting()
    return waiting[waiting.count() // 2].pk
