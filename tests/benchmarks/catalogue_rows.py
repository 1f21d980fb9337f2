"""Rows of a large catalogue, in bulk, as the verbs would have written them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

_WORDS = """
count word page save form mail chart table image audio video cache proxy login token feed search index sort filter
export import backup sync merge clean build deploy watch alert graph report invoice order cart stock price tax route
menu theme color font icon badge rating review comment reply thread forum chat poll vote quiz
"""
WORDS = _WORDS.split()
CAPABILITIES = ("kv", "documents", "http", "content:read", "content:write", "users:read", "email:send", "blobs")


def build(plugins: int, releases: int) -> None:
    """A superuser, publishers, plugins and releases: most approved, some of every other state."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.utils import timezone

    from marketplace import listings, versions
    from marketplace.audit import run
    from marketplace.models import (
        CheckResult,
        FeedEntry,
        Finding,
        Plugin,
        PluginCapability,
        PluginKeyword,
        Publisher,
        Release,
        ReviewEvent,
        SearchTerm,
    )

    rng, now = random.Random(7), timezone.now()
    User.objects.create_superuser("root", password=None)
    publishers = [Publisher(slug=f"publisher-{n}", name=f"Publisher {n}") for n in range(max(1, plugins // 25))]
    Publisher.objects.bulk_create(publishers, batch_size=2000)
    rows = []
    for number in range(plugins):
        title = " ".join(rng.choices(WORDS, k=3))
        rows.append(
            Plugin(
                name=f"{title.split()[0]}-{title.split()[1]}-{number}",
                skeleton=f"s{number}",
                publisher=rng.choice(publishers),
                title=title.capitalize(),
                description=" ".join(rng.choices(WORDS, k=12)),
                license=rng.choice(("Apache-2.0", "MIT", "MPL-2.0")),
                kind="wasm" if number % 10 == 0 else "javascript",
                source="official" if number % 500 == 0 else "community",
                downloads=int(rng.paretovariate(1) * 10),
                updated_at=now - timedelta(minutes=number),
            )
        )
    Plugin.objects.bulk_create(rows, batch_size=2000)
    each = max(1, releases // plugins)
    grants = [
        {name: {"reason": "For the measurement."} for name in rng.sample(CAPABILITIES, rng.randint(0, 3))} for _ in rows
    ]

    def made() -> Iterator[Any]:
        for index, plugin in enumerate(rows):
            for minor in range(each):
                version = f"1.{minor}.0"
                state = _state(index, minor, last=minor == each - 1)
                decided = state in ("approved", "yanked", "quarantined")
                when = now - timedelta(days=1 + 30 * (each - 1 - minor), seconds=index)
                digest = f"{index:032x}{minor:032x}"
                manifest = {
                    "name": plugin.name, "version": version, "title": plugin.title, "description": plugin.description,
                    "license": plugin.license, "entry": "plugin.mjs", "capabilities": grants[index],
                    "compatibility": {"zelavis": ">=0.1"}, "keywords": [plugin.title.split()[-1]],
                }  # fmt: skip
                yield Release(
                    plugin=plugin, publisher=plugin.publisher, version=version,
                    version_sort=versions.sort_key(version), digest=digest, entry_digest=digest,
                    kind="wasm" if index % 10 == 0 else "javascript",
                    size=1000, manifest_text=json.dumps(manifest), readme="# Title\n\n" + plugin.description * 5,
                    risk=("low", "low", "medium", "high")[index % 4],
                    delta_text=json.dumps({"added": sorted(grants[index]), "removed": [], "changed": []}),
                    state=state, submitted_actor="user:x", submitted_at=when, state_changed_at=when,
                    claimed_by="user:root" if state == "in_review" else "", claimed_at=now,
                    audit_state="failed" if state == "changes_requested" else "passed",
                    audit_rules=run.rules_version(), audited_digest=digest,
                    approved_digest=digest if decided else "", approved_at=when if decided else None,
                )  # fmt: skip

    batch: list[Any] = []
    for release in made():
        batch.append(release)
        if len(batch) == 5000:
            Release.objects.bulk_create(batch, batch_size=1000)
            batch = []
    Release.objects.bulk_create(batch, batch_size=1000)
    newest: dict[int, str] = {}
    for key, plugin in Release.objects.filter(state="approved").order_by("version_sort").values_list("pk", "plugin_id"):
        newest[plugin] = key
    for plugin in rows:
        plugin.latest_id = newest.get(plugin.pk)
    Plugin.objects.bulk_update(rows, ["latest"], batch_size=500)
    terms = []
    for index, plugin in enumerate(rows):
        words = {plugin.title.split()[-1].lower()}
        terms += [SearchTerm(plugin=plugin, term=t, weight=w) for t, w in listings.terms(plugin, words).items()]
        if len(terms) > 20_000 or index == len(rows) - 1:
            SearchTerm.objects.bulk_create(terms, batch_size=2000)
            terms = []
    PluginCapability.objects.bulk_create(
        (
            PluginCapability(plugin=plugin, capability=one)
            for plugin, asked in zip(rows, grants, strict=True)
            for one in asked
        ),
        batch_size=2000,
    )
    PluginKeyword.objects.bulk_create(
        (PluginKeyword(plugin=plugin, keyword=plugin.title.split()[-1].lower()) for plugin in rows), batch_size=2000
    )
    told = Release.objects.filter(state__in=("yanked", "quarantined")).select_related("plugin")
    FeedEntry.objects.bulk_create(
        (
            FeedEntry(
                plugin=one.plugin.name, version=one.version, digest=one.digest, reason="For the measurement.",
                action="yank" if one.state == "yanked" else "quarantine", created_at=now,
            )
            for one in told.only("version", "digest", "state", "plugin__name")
        ),
        batch_size=2000,
    )  # fmt: skip
    waiting = list(Release.objects.waiting().only("pk", "digest", "submitted_at", "plugin"))
    ReviewEvent.objects.bulk_create(
        (
            ReviewEvent(release=one, verb="submit", actor="user:x", digest=one.digest, created_at=one.submitted_at)
            for one in waiting
        ),
        batch_size=2000,
    )
    CheckResult.objects.bulk_create(
        (
            CheckResult(release=one, digest=one.digest, family=family, outcome="pass", rules=run.rules_version())
            for one in waiting
            for family in run.required()
        ),
        batch_size=2000,
    )
    Finding.objects.bulk_create(
        (
            Finding(release=one, digest=one.digest, rule="limits.memory", severity="warning", message="Much.")
            for one in waiting
            for _ in range(3)
        ),
        batch_size=2000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _state(index: int, minor: int, *, last: bool) -> str:
    """Of 25 plugins one has a newest release that waits; of 100 older releases one is not approved."""
    if last:
        if index % 25 == 0:
            return "in_review" if index % 500 == 0 else "submitted"
        return "changes_requested" if index % 300 == 7 else "approved"
    number = (index * 7 + minor) % 200
    return {0: "yanked", 50: "quarantined", 100: "rejected", 150: "withdrawn"}.get(number, "approved")
