"""The public catalogue as Lighthouse sees it, on its slow phone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.browser import FLAGS, npm_package
from tests.server import ROOT, Server, environment, running

pytestmark = pytest.mark.browser
SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.settings"}
#: The last one for Node 20, which is Debian's.
VERSION = "12.8.2"
#: What each must reach, in per cent. The speed is of a simulated phone, but what is simulated was measured here.
GOALS = {"accessibility": 100, "best-practices": 100, "seo": 100, "performance": 95}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a catalogue."""
    data = tmp_path_factory.mktemp("lighthouse")
    with running(data, **SETTINGS) as started:
        command = [sys.executable, "-m", "tests.acceptance.crowd"]
        subprocess.run(command, cwd=ROOT, env=environment(data, **SETTINGS), check=True, capture_output=True)
        yield started


def report(url: str, folder: Path) -> dict[str, object]:
    """What Lighthouse says of a page: scores in per cent, and below them the audits that cost points."""
    executable = shutil.which("chromium")
    assert executable, "Chromium is not installed"
    script = npm_package("lighthouse", VERSION) / "cli" / "index.js"
    written = folder / "report.json"
    command = [
        *("node", str(script), url, "--quiet", "--output=json", f"--output-path={written}"),
        *(f"--only-categories={','.join(GOALS)}", "--no-enable-error-reporting", "--disable-full-page-screenshot"),
        f"--chrome-flags={' '.join(['--headless=new', *FLAGS])}",
    ]
    variables = {**os.environ, "CHROME_PATH": executable}
    done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(written.read_text(encoding="utf-8"))
    categories = found["categories"]
    return {
        "scores": {name: round(categories[name]["score"] * 100) for name in GOALS},
        "costly": [
            found["audits"][part["id"]]["title"]
            for name in GOALS
            for part in categories[name]["auditRefs"]
            if part["weight"] and found["audits"][part["id"]]["score"] not in (None, 1)
        ],
    }


def test_lighthouse_finds_nothing_in_the_catalogue(server: Server, tmp_path: Path) -> None:
    """Home, search, plugin and release: 100 for accessibility, best practices and SEO, 95 or more for speed."""
    plugin = server.api.get("/api/marketplace/plugins").json()["data"][0]
    page = f"/marketplace/plugins/{plugin['name']}"
    for path in ("/marketplace/", "/marketplace/?q=count", page, f"{page}/{plugin['version']}"):
        seen = report(server.url + path, tmp_path)
        print(path, seen["scores"])
        assert isinstance(seen["scores"], dict)
        assert all(seen["scores"][name] >= goal for name, goal in GOALS.items()), (path, seen)
