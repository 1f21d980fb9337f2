"""What a plugin's listing shows follows from its newest approved release; nobody writes it by hand."""

from __future__ import annotations

import re
from datetime import datetime

from marketplace.models import Plugin, PluginCapability, PluginKeyword, Release, ReleaseState, SearchTerm

_WORD = re.compile(r"[^\W_]{2,40}")
MAX_TERMS = 120


def refresh(plugin: Plugin, *, now: datetime) -> None:
    """Bring listing, facets and search terms up to date, in the caller's transaction."""
    newest = Release.objects.filter(plugin=plugin, state=ReleaseState.APPROVED).order_by("-version_sort").first()
    plugin.latest = newest
    if newest is not None:
        manifest = newest.manifest
        plugin.title = manifest["title"]
        plugin.description = manifest["description"]
        plugin.license = manifest["license"]
        plugin.kind = newest.kind
    plugin.updated_at = now
    plugin.save(update_fields=["latest", "title", "description", "license", "kind", "updated_at"])
    capabilities = set(newest.capabilities) if newest else set()
    keywords = set(newest.manifest.get("keywords", [])) if newest else set()
    _replace_capabilities(plugin, capabilities)
    _replace_keywords(plugin, keywords)
    SearchTerm.objects.filter(plugin=plugin).delete()
    if newest is not None:
        SearchTerm.objects.bulk_create(
            SearchTerm(plugin=plugin, term=term, weight=weight) for term, weight in terms(plugin, keywords).items()
        )


def _replace_capabilities(plugin: Plugin, wanted: set[str]) -> None:
    PluginCapability.objects.filter(plugin=plugin).exclude(capability__in=wanted).delete()
    PluginCapability.objects.bulk_create(
        (PluginCapability(plugin=plugin, capability=one) for one in sorted(wanted)), ignore_conflicts=True
    )


def _replace_keywords(plugin: Plugin, wanted: set[str]) -> None:
    PluginKeyword.objects.filter(plugin=plugin).exclude(keyword__in=wanted).delete()
    PluginKeyword.objects.bulk_create(
        (PluginKeyword(plugin=plugin, keyword=one) for one in sorted(wanted)), ignore_conflicts=True
    )


def terms(plugin: Plugin, keywords: set[str]) -> dict[str, int]:
    """The words of a listing and their weights."""
    found: dict[str, int] = {}
    for text, weight in (
        (plugin.name, 8),
        (plugin.name.replace("-", " "), 8),
        (plugin.title, 4),
        (" ".join(keywords), 4),
        (plugin.publisher.slug, 2),
        (plugin.description, 1),
    ):
        for word in words(text) + ([text] if text == plugin.name else []):
            if len(found) < MAX_TERMS:
                found[word[:40]] = max(weight, found.get(word[:40], 0))
    return found


def words(text: str) -> list[str]:
    """Words as they are indexed: case folded, two characters or more."""
    return _WORD.findall(text.casefold())
