"""A catalogue of 50,000 plugins and 300,000 releases: how long list, search and queue pages take.

``python -m tests.benchmarks.catalogue`` builds a database (SQLite unless ``ZELAVIS_DATABASE_URL`` says otherwise; with
``--keep FOLDER`` it stays there and is used again), asks every page of :mod:`tests.benchmarks.catalogue_pages` some
times through Django's handler, and prints for each group its slowest page: milliseconds of server time (median, the
first time, which may fill a cache), of processor time of this process (median; on SQLite all there is, and what a busy
machine changes least), and the most queries. It exits 1 when a median passes 100 ms or a page 20 queries.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import catalogue_pages

MOST_MS, MOST_QUERIES = 100.0, 20
_TOKEN: dict[str, str] = {}


def main() -> int:
    """Build, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugins", type=int, default=50_000)
    parser.add_argument("--releases", type=int, default=300_000)
    parser.add_argument("--keep", type=Path, help="folder of a database that is built once and used again")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="groups whose name begins so")
    parser.add_argument("--all", action="store_true", help="print every page, not the slowest of each group")
    parser.add_argument("--explain", type=float, default=0, help="print the queries of pages slower than this (ms)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZELAVIS_DATA_DIR"] = str(options.keep or folder)
        os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
        import django

        django.setup()
        _built(options.plugins, options.releases)
        return ask(rounds=options.rounds, only=options.only, every=options.all, explain=options.explain)


def _built(plugins: int, releases: int) -> None:
    from django.core.management import call_command
    from django.db import connection

    from marketplace.models import Plugin, Release
    from tests.benchmarks import catalogue_rows

    call_command("migrate", verbosity=0)
    if not Plugin.objects.exists():
        began = time.monotonic()
        catalogue_rows.build(plugins, releases)
        print(f"built in {time.monotonic() - began:.0f} s")
    print(f"{connection.vendor}: {Plugin.objects.count():,} plugins, {Release.objects.count():,} releases", flush=True)


def ask(*, rounds: int, only: str, every: bool, explain: float) -> int:
    """Each page some times; 1 when one is too slow or asks too much."""
    from django.contrib.auth.models import User
    from django.core.cache import cache
    from django.test import Client

    from zelavis import tokens

    root = User.objects.get(username="root")
    client = Client(SERVER_NAME="localhost")
    client.force_login(root)
    # Pages are asked by a person of the site, the API by a token.
    _TOKEN["HTTP_AUTHORIZATION"] = f"Bearer {tokens.create('benchmark', ['*'], owner=root)[1]}"
    cache.clear()
    failed, asked = 0, 0
    print(f"{'group':48} {'slowest page of it':34} {'median ms':>9} {'first':>7} {'cpu':>7} {'queries':>7}")
    for group, pages in catalogue_pages.groups():
        if not group.startswith(only):
            continue
        rows = [(name, url, *_measure(client, url, rounds)) for name, url in pages]
        asked += len(rows)
        bad = [row for row in rows if row[2] > MOST_MS or row[5] > MOST_QUERIES]
        failed += len(bad)
        slowest = max(rows, key=lambda row: row[2])
        shown = rows if every else bad or [slowest]
        most = max(row[5] for row in rows)
        for row in shown:
            name, url, median, first, used, queries = row
            mark = "  <-- too much" if row in bad else ""
            number = queries if len(shown) > 1 else most
            print(f"{group:48} {name[:34]:34} {median:9.1f} {first:7.1f} {used:7.1f} {number:7}{mark}", flush=True)
            if explain and median > explain:
                _explain(client, url)
    print(f"{asked} pages, {failed} too slow or with too many queries")
    return int(failed > 0)


def _get(client: Any, url: str) -> Any:
    return client.get(url, **(_TOKEN if url.startswith("/api/") else {}))


def _measure(client: Any, url: str, rounds: int) -> tuple[float, float, float, int]:
    """Median and first time and median processor time in milliseconds, and the number of queries."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    times, used = [], []
    for _ in range(rounds):
        began, spent = time.perf_counter(), time.process_time()
        answer = _get(client, url)
        times.append(1000 * (time.perf_counter() - began))
        used.append(1000 * (time.process_time() - spent))
        assert answer.status_code == 200, (url, answer.status_code)
    with CaptureQueriesContext(connection) as captured:
        _get(client, url)
    return statistics.median(times), times[0], statistics.median(used), len(captured)


def _explain(client: Any, url: str) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        _get(client, url)
    print(f"    {url}")
    for query in captured.captured_queries:
        if float(query["time"]) > 0.005:
            print(f"    {query['time']} s: {query['sql'][:1500]}")


if __name__ == "__main__":
    sys.exit(main())
