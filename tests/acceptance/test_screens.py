"""Every screen of the admin and of the public catalogue, looked at by a browser."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from django.urls import resolve, reverse

from tests.acceptance import tour
from tests.access import matrix
from tests.access.world import admin_names
from tests.server import ROOT, Server, environment, running

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page

pytestmark = pytest.mark.browser
SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.settings"}
#: Pages for everybody that are no HTML, or send elsewhere.
NO_HTML = frozenset(
    {
        *("catalogue-atom", "catalogue-icon", "healthz", "readyz"),
        *("root", "plugin-root", "plugin-route", "receiver-activate"),
    }
)


@dataclass(frozen=True)
class Filled:
    """A server with something of everything, and where to look at it."""

    server: Server
    #: Path by the route's name; what comes after a space tells several pages of one route apart.
    screens: dict[str, str]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """One server for all tests of this file."""
    data = tmp_path_factory.mktemp("screens")
    with running(data, **SETTINGS) as server:
        command = [sys.executable, "-m", "tests.acceptance.tour"]
        done = subprocess.run(command, cwd=ROOT, env=environment(data, **SETTINGS), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        yield Filled(server, json.loads(done.stdout))


def test_every_route_is_on_the_tour(filled: Filled) -> None:
    """Each page of the admin and each page for everybody is visited at the address that its route resolves."""
    visited = {resolve(urlsplit(path).path).view_name for path in filled.screens.values()}
    assert visited == {name.split()[0] for name in filled.screens}
    left_out = {name for name in admin_names() if f"admin:{name}" not in visited}
    only_sent_to = {name for name in left_out if name in matrix.PAGES and not matrix.PAGES[name][0]}
    never = {name for name in left_out if name.endswith(("_add", "_delete"))}
    assert left_out - only_sent_to - never == tour.NO_SCREEN & set(admin_names())
    assert {name for name in matrix.PUBLIC_PAGES if name not in visited} == NO_HTML


def test_no_screen_breaks_a_rule(filled: Filled) -> None:
    """Wide and light, narrow and dark: axe finds nothing, nothing overflows, is blocked or has no name."""
    from tests.acceptance.browser import axe_script, chromium, sign_in

    script = axe_script()
    faults: list[str] = []
    with chromium() as browser:
        context = browser.new_context(base_url=filled.server.url, reduced_motion="reduce")
        page = context.new_page()
        # What everybody sees comes first, among it the login, which sends on whoever is signed in.
        for staff in (False, True):
            if staff:
                sign_in(page, filled.server)
            for name, path in filled.screens.items():
                if is_for_staff(name) is staff:
                    faults += [f"{name} {path}: {fault}" for fault in look_at(page, path, script)]
        context.close()
    assert faults == [], "\n".join(faults)


def is_for_staff(name: str) -> bool:
    """Whether one signs in first."""
    return name.startswith("admin:") and name != "admin:login"


def look_at(page: Page, path: str, script: str) -> list[str]:
    """All that is wrong with a page. ``script`` is axe's source."""
    from tests.acceptance.browser import unheard, violations

    blocked: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if "Content Security" in message.text:
            blocked.append(message.text)

    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="light")
    page.on("console", listen)
    answer = page.goto(path)
    # No longer than this: what axe itself puts into the page the policy forbids, as it should.
    page.remove_listener("console", listen)
    found = [] if answer and answer.ok else [f"answers {answer and answer.status}"]
    found += [] if page.url.endswith(path) else [f"sends to {page.url}"]
    found += blocked + unheard(page)
    found += [f"wide: {fault}" for fault in [*too_wide(page, 1280), *violations(page, script)]]
    page.set_viewport_size({"width": 390, "height": 900})
    page.emulate_media(color_scheme="dark")
    return found + [f"narrow: {fault}" for fault in [*too_wide(page, 390), *violations(page, script)]]


def too_wide(page: Page, width: int) -> list[str]:
    """The page as a whole never scrolls sideways, and on a wide screen no list does."""
    wide = page.evaluate("document.documentElement.scrollWidth")
    found = [f"{wide} px in {width}"] if wide > width else []
    list_ = "document.querySelector('.results')"
    table, room = page.evaluate(f"{list_} ? [{list_}.scrollWidth, {list_}.clientWidth] : [0, 0]")
    return [*found, f"a list of {table} px in {room}"] if width > 1000 and table > room + 1 else found


def test_the_lists_sort_and_page(filled: Filled) -> None:
    """What the tour leaves out as the same screen again, a list's sorting and facets, answers too."""
    client = filled.server.browser().client
    for name, path in filled.screens.items():
        if name.endswith("_changelist"):
            for query in ("?o=-1", "?_facets=True", "?p=1"):
                answer = client.get(path + query)
                assert answer.status_code == 200, f"{path}{query}"
    assert client.get(reverse("admin:index") + "nowhere/").status_code == 404
