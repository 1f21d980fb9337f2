"""Searching the public catalogue: words by their beginnings, facets, and pages that stay fast with many plugins."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Max, Q, QuerySet

from marketplace.listings import words
from marketplace.lookups import in_any
from marketplace.models import Plugin, PluginCapability, PluginKeyword, SearchTerm
from zelavis.api.parsers import loads
from zelavis.errors import InvalidRequest

#: How many matches are ranked by how well they match; of more, the most downloaded come first.
RANKED = 1000
MAX_WORDS = 6
MAX_QUERY = 200
MAX_CURSOR = 1000
#: Seconds that counts of facets are kept.
FACETS_KEPT = 300
#: Name → columns, all of one direction so that one index serves them.
SORTS = {
    "popular": ("-downloads", "-id"),
    "updated": ("-updated_at", "-id"),
    "name": ("name",),
}


@dataclass(frozen=True, kw_only=True)
class Query:
    """What somebody looks for. Every part narrows."""

    text: str = ""
    capability: str = ""
    #: Only plugins that do *not* ask for this.
    without: str = ""
    keyword: str = ""
    publisher: str = ""
    license: str = ""
    kind: str = ""
    source: str = ""
    sort: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A piece of the result."""

    plugins: list[Plugin]
    #: Opaque; empty: that was all.
    following: str
    facets: dict[str, list[tuple[str, int]]] = field(default_factory=dict)


def matches(query: Query) -> QuerySet[Plugin]:
    """Every public plugin that the query finds, in no order.

    Raises:
        InvalidRequest: too long.
    """
    if len(query.text) > MAX_QUERY:
        raise InvalidRequest(f"A search has at most {MAX_QUERY} characters.")
    found: QuerySet[Plugin] = Plugin.objects.public()
    for word in words(query.text)[:MAX_WORDS]:
        found = in_any(found, "id", _plugins(_beginning(word[:40])))
    if query.text.strip() and not words(query.text):
        found = found.none()
    if query.capability:
        found = in_any(found, "id", _plugins(PluginCapability.objects.filter(capability=query.capability)))
    if query.without:
        asking = _plugins(PluginCapability.objects.filter(capability=query.without))
        found = in_any(found, "id", asking, negated=True)
    if query.keyword:
        found = in_any(found, "id", _plugins(PluginKeyword.objects.filter(keyword=query.keyword)))
    exact = {
        "publisher__slug": query.publisher,
        "license": query.license,
        "kind": query.kind,
        "source": query.source,
    }
    return found.filter(**{name: value for name, value in exact.items() if value})


def _plugins(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.order_by().values_list("plugin_id", flat=True)


def _beginning(word: str) -> QuerySet[SearchTerm]:
    """Terms that begin with a word. As a range where the index has byte order, as LIKE where it is made for that."""
    return SearchTerm.objects.filter(beginning("term", word))


def beginning(column: str, word: str) -> Q:
    """A condition that an index serves: the column's text begins with a word."""
    if connection.vendor == "postgresql":
        return Q(**{f"{column}__startswith": word})
    return Q(**{f"{column}__gte": word, f"{column}__lt": word + "\U0010ffff"})


def search(query: Query, *, limit: int = 24, cursor: str = "") -> Page:
    """One page of plugins.

    Raises:
        InvalidRequest: an unknown sort, or a cursor that is not of this list.
    """
    sort = query.sort or ("relevance" if words(query.text) else "popular")
    if sort not in (*SORTS, "relevance"):
        raise InvalidRequest(f"A sort is one of {', '.join(SORTS)} or relevance.")
    found = matches(query)
    if sort == "relevance":
        ranked = _ranked(query, found)
        if ranked is not None:
            return _slice(ranked, limit=limit, cursor=cursor)
        sort = "popular"
    return _keyset(found, sort, limit=limit, cursor=cursor)


def _ranked(query: Query, found: QuerySet[Plugin]) -> list[int] | None:
    """Keys by relevance; ``None``: more than are worth ranking."""
    keys = list(found.order_by().values_list("pk", "downloads")[: RANKED + 1])
    if len(keys) > RANKED or not words(query.text):
        return None
    scores = dict.fromkeys((key for key, _ in keys), 0)
    popular = dict(keys)
    exact = query.text.strip().casefold()
    for word in {*words(query.text)[:MAX_WORDS], exact[:40]}:
        best = _beginning(word).filter(plugin_id__in=list(scores)).values("plugin_id").annotate(best=Max("weight"))
        for row in best.values_list("plugin_id", "best"):
            scores[row[0]] += row[1]
        for key in SearchTerm.objects.filter(plugin_id__in=list(scores), term=word).values_list("plugin_id", flat=True):
            scores[key] += 4
    return sorted(scores, key=lambda key: (-scores[key], -popular[key], key))


def _slice(keys: list[int], *, limit: int, cursor: str) -> Page:
    start = _decode(cursor).get("at", 0) if cursor else 0
    if not isinstance(start, int) or not 0 <= start <= RANKED:
        raise InvalidRequest("The cursor is not of this list.")
    wanted = keys[start : start + limit]
    rows = {plugin.pk: plugin for plugin in _shown(Plugin.objects.filter(pk__in=wanted))}
    more = start + limit < len(keys)
    return Page(
        plugins=[rows[key] for key in wanted if key in rows], following=_encode({"at": start + limit}) if more else ""
    )


def _keyset(found: QuerySet[Plugin], sort: str, *, limit: int, cursor: str) -> Page:
    order = SORTS[sort]
    first = order[0].lstrip("-")
    if cursor:
        value = _decode(cursor)
        if value.get("sort") != sort or "id" not in value or "value" not in value:
            raise InvalidRequest("The cursor is not of this list.")
        found = found.filter(_after(order, first, value))
    # Keys first: what a row shows is joined for one page, not for everything that is sorted.
    keys = list(found.order_by(*order).values_list("pk", flat=True)[: limit + 1])
    rows = list(_shown(Plugin.objects.filter(pk__in=keys)).order_by(*order)) if keys else []
    following = ""
    if len(rows) > limit:
        rows = rows[:limit]
        following = cursor_after(rows[-1], sort)
    return Page(plugins=rows, following=following)


def cursor_after(plugin: Plugin, sort: str) -> str:
    """The cursor of the page that begins behind a plugin."""
    first = SORTS[sort][0].lstrip("-")
    value = getattr(plugin, first)
    return _encode({"sort": sort, "value": value.isoformat() if first == "updated_at" else value, "id": plugin.pk})


def _after(order: tuple[str, ...], first: str, value: dict[str, Any]) -> Q:
    last, key = value["value"], value["id"]
    if not isinstance(last, int if first == "downloads" else str) or not isinstance(key, int):
        raise InvalidRequest("The cursor is not of this list.")
    if first == "name":
        return Q(name__gt=last)
    if first == "updated_at":
        try:
            last = datetime.fromisoformat(str(last)).astimezone(UTC)
        except (OverflowError, ValueError):
            raise InvalidRequest("The cursor is not of this list.") from None
    return Q(**{f"{first}__lt": last}) | Q(**{first: last, "pk__lt": key})


def _shown(found: QuerySet[Plugin]) -> QuerySet[Plugin]:
    """With what a list shows, and without the texts of releases that it does not."""
    heavy = ("readme", "changelog", "inspection_text", "delta_text", "record_text", "manifest_text")
    return found.select_related("publisher", "latest").defer(*(f"latest__{name}" for name in heavy))


def _encode(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _decode(cursor: str) -> dict[str, Any]:
    if len(cursor) > MAX_CURSOR:
        raise InvalidRequest("The cursor is not of this list.")
    try:
        value = loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        raise InvalidRequest("The cursor is not of this list.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The cursor is not of this list.")
    return value


def facets() -> dict[str, list[tuple[str, int]]]:
    """How many public plugins there are of each capability, keyword, licence, kind and source; minutes old at most."""
    kept: dict[str, list[tuple[str, int]]] | None = cache.get("catalogue:facets")
    if kept is None:
        kept = count_facets()
        cache.set("catalogue:facets", kept, FACETS_KEPT)
    return kept


def count_facets() -> dict[str, list[tuple[str, int]]]:
    """Count now."""
    public = Q(plugin__state=Plugin.State.LISTED)
    plugins = Plugin.objects.public()
    return {
        "capability": _counts(PluginCapability.objects.filter(public), "capability", 40),
        "keyword": _counts(PluginKeyword.objects.filter(public), "keyword", 30),
        "license": _counts(plugins, "license", 15),
        "kind": _counts(plugins, "kind", 5),
        "source": _counts(plugins, "source", 5),
    }


def _counts(rows: QuerySet[Any], column: str, most: int) -> list[tuple[str, int]]:
    counted = rows.order_by().values(column).annotate(number=Count("pk")).order_by("-number", column)[:most]
    return [(row[column], row["number"]) for row in counted]
