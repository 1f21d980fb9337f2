"""A catalogue of 50,000 plugins and 300,000 releases: how long list, search, queue and review pages take.

``python -m tests.benchmarks.catalogue [--plugins N] [--releases N]`` builds a database of its own (SQLite unless
``ZELAVIS_DATABASE_URL`` says otherwise), asks each page 20 times through Django's handler, and prints milliseconds of
server time (median, slowest) and the number of queries. It exits 1 when a median passes 100 ms or a page 20 queries.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
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
MOST_MS, MOST_QUERIES, ROUNDS = 100.0, 20, 20


def main() -> int:
    """Build, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugins", type=int, default=50_000)
    parser.add_argument("--releases", type=int, default=300_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZELAVIS_DATA_DIR"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        began = time.monotonic()
        build(options.plugins, options.releases)
        print(
            f"built {options.plugins:,} plugins and {options.releases:,} releases in {time.monotonic() - began:.0f} s"
        )
        return ask()


def build(plugins: int, releases: int) -> None:
    """Rows in bulk, as the verbs would have written them."""
    import json

    from django.contrib.auth.models import User
    from django.db import connection
    from django.utils import timezone

    from marketplace import listings, versions
    from marketplace.models import Plugin, PluginCapability, PluginKeyword, Publisher, Release, SearchTerm

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
                waits = minor == each - 1 and index % 25 == 0
                digest = f"{index:032x}{minor:032x}"
                manifest = {
                    "name": plugin.name, "version": version, "title": plugin.title, "description": plugin.description,
                    "license": plugin.license, "entry": "plugin.mjs", "capabilities": grants[index],
                    "compatibility": {"zelavis": ">=0.1"}, "keywords": [plugin.title.split()[-1]],
                }  # fmt: skip
                yield Release(
                    plugin=plugin, publisher=plugin.publisher, version=version,
                    version_sort=versions.sort_key(version), digest=digest, entry_digest=digest, kind="javascript",
                    size=1000, manifest_text=json.dumps(manifest), readme="# Title\n\n" + plugin.description * 5,
                    risk="low", delta_text=json.dumps({"added": sorted(grants[index]), "removed": [], "changed": []}),
                    state="submitted" if waits else "approved", submitted_actor="user:x",
                    submitted_at=now - timedelta(days=1, seconds=index), state_changed_at=now,
                    audit_state="passed", audit_rules="x", audited_digest=digest,
                    approved_digest="" if waits else digest, approved_at=None if waits else now,
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
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def ask() -> int:
    """Each page some times; 1 when one is too slow or asks too much."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import reverse

    from marketplace.models import Plugin, Release

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get())
    plugin = Plugin.objects.order_by("-pk").first()
    waiting = Release.objects.waiting().first()
    assert plugin is not None
    assert waiting is not None
    api = "/api/marketplace/plugins"
    pages = {
        "API list": api,
        "API list with facets": f"{api}?facets=1",
        "API by name": f"{api}?sort=name&limit=100",
        "API search, common word": f"{api}?q=count",
        "API search, two words": f"{api}?q=count+mail",
        "API search, prefix of many": f"{api}?q=co",
        "API capability": f"{api}?capability=kv",
        "API without capability": f"{api}?without=kv",
        "API search and facets": f"{api}?q=form&capability=http&license=MIT",
        "API publisher": f"{api}?publisher=publisher-7",
        "API plugin": f"{api}/{plugin.name}",
        "API releases": f"{api}/{plugin.name}/releases",
        "catalogue page": "/marketplace/",
        "catalogue search": "/marketplace/?q=count",
        "plugin page": f"/marketplace/plugins/{plugin.name}",
        "Atom feed": "/marketplace/feed.atom",
        "admin queue": reverse("admin:marketplace_release_queue"),
        "admin queue, page 40": reverse("admin:marketplace_release_queue") + "?page=40",
        "admin review": reverse("admin:marketplace_release_change", args=[waiting.pk]),
        "admin releases": reverse("admin:marketplace_release_changelist"),
        "admin plugins": reverse("admin:marketplace_plugin_changelist"),
        "admin home": reverse("admin:index"),
        "admin search releases": reverse("admin:marketplace_release_changelist") + "?q=count-mail",
    }
    failed = False
    print(f"{'page':28} {'median ms':>10} {'slowest':>8} {'first':>8} {'queries':>8}")
    for name, url in pages.items():
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            answer = client.get(url)
            times.append(1000 * (time.perf_counter() - began))
            assert answer.status_code == 200, (url, answer.status_code)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            client.get(url)
        median = statistics.median(times)
        bad = median > MOST_MS or len(captured) > MOST_QUERIES
        failed = failed or bad
        mark = "  <-- too much" if bad else ""
        print(f"{name:28} {median:10.1f} {max(times[1:]):8.1f} {times[0]:8.1f} {len(captured):8}{mark}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
