"""Search, plugin, release and publisher pages."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from marketplace import capabilities, catalogue, readmes
from marketplace.models import Plugin, Publisher, Rating, Release
from zelavis.errors import InvalidRequest

_FILTERS = ("capability", "without", "keyword", "license", "kind", "source")
#: Facets on the page, with their heading.
_HEADINGS = {
    "capability": "May do",
    "keyword": "Keyword",
    "license": "Licence",
    "kind": "Kind",
    "source": "Source",
}
_SHOWN = 12
_KEPT = "public, max-age=60"


def _page(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    answer = render(request, template, context, status=status)
    answer.headers["Cache-Control"] = _KEPT
    return answer


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The catalogue: search, facets, results."""
    given = {name: request.GET.get(name, "")[:200] for name in ("q", "publisher", "sort", *_FILTERS)}
    if any("\0" in value for value in (*given.values(), request.GET.get("cursor", ""))):
        raise Http404
    query = catalogue.Query(text=given["q"], **{name: given[name] for name in ("publisher", "sort", *_FILTERS)})
    problem, page = "", catalogue.Page(plugins=[], following="")
    try:
        page = catalogue.search(query, cursor=request.GET.get("cursor", ""))
    except InvalidRequest as error:
        problem = error.message
    used = {name: value for name, value in given.items() if value}
    context = {
        "query": given,
        "page": page,
        "problem": problem,
        "facets": [
            {
                "name": name,
                "heading": _HEADINGS[name],
                "values": [
                    {
                        "value": value,
                        "count": number,
                        "url": "?" + urlencode({**used, name: value}),
                        "chosen": given[name] == value,
                    }
                    for value, number in values[:_SHOWN]
                ],
            }
            for name, values in catalogue.facets().items()
        ],
        "chosen": [
            (name, value, "?" + urlencode({key: kept for key, kept in used.items() if key != name}))
            for name, value in used.items()
            if name not in ("q", "sort")
        ],
        "next_url": "?" + urlencode({**used, "cursor": page.following}) if page.following else "",
        "sorts": ("popular", "updated", "name"),
    }
    return _page(request, "marketplace/index.html", context, status=400 if problem else 200)


@require_safe
def plugin(request: HttpRequest, name: str) -> HttpResponse:
    """A plugin: what it does, what it may do, what people think of it."""
    row = Plugin.objects.public().select_related("publisher", "latest").filter(name=name).first()
    if row is None or row.latest is None:
        raise Http404
    return _release(request, row, row.latest)


@require_safe
def release(request: HttpRequest, name: str, version: str) -> HttpResponse:
    """One release of it."""
    row = Plugin.objects.public().select_related("publisher", "latest").filter(name=name).first()
    found = Release.objects.public().filter(plugin=row, version=version).first() if row else None
    if row is None or found is None:
        raise Http404
    return _release(request, row, found)


def _release(request: HttpRequest, row: Plugin, shown: Release) -> HttpResponse:
    releases = Release.objects.public().filter(plugin=row).order_by("-version_sort")
    context = {
        "plugin": row,
        "release": shown,
        "manifest": shown.manifest,
        "capabilities": capabilities.told(shown.capabilities),
        "readme": readmes.render(shown.readme) if shown.readme else "",
        "changelog": readmes.render(shown.changelog) if shown.changelog else "",
        "releases": releases.only("version", "approved_at", "state", "plugin")[:20],
        "ratings": Rating.objects.filter(plugin=row, hidden=False)[:10],
        "is_latest": row.latest_id == shown.pk,
    }
    return _page(request, "marketplace/plugin.html", context)


@require_safe
def publisher(request: HttpRequest, slug: str) -> HttpResponse:
    """A publisher and its plugins."""
    row = Publisher.objects.filter(slug=slug).first()
    if row is None:
        raise Http404
    page = catalogue.search(catalogue.Query(publisher=slug), cursor=request.GET.get("cursor", "")[:500])
    if not page.plugins and not request.GET.get("cursor"):
        # A publisher with nothing public is nobody's business yet.
        raise Http404
    return _page(request, "marketplace/publisher.html", {"publisher": row, "page": page})
