"""The admin by keyboard alone: Tab, Shift+Tab, Enter and Space, and letters where text is asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.server import ROOT, Server, environment, running

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.settings"}
#: Nothing that somebody needs is further away than this.
MOST_TABS = 160
#: What has the focus: how it is called, whether it is in sight, and how that is shown.
_FOCUSED = """() => {
  const it = document.activeElement, style = getComputedStyle(it), box = it.getBoundingClientRect();
  const label = it.labels && it.labels.length ? it.labels[0].innerText : '';
  const top = document.elementFromPoint(box.x + Math.min(box.width, 20) / 2, box.y + box.height / 2);
  return {
    tag: it.tagName.toLowerCase(), inBody: it !== document.body,
    name: (it.getAttribute('aria-label') || label || it.value || it.innerText || '').trim(),
    outline: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2, shadow: style.boxShadow !== 'none',
    inSight: box.bottom > 0 && box.top < innerHeight && !!top && (it.contains(top) || top.contains(it)),
    html: it.outerHTML.slice(0, 120),
  };
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with something of everything."""
    data = tmp_path_factory.mktemp("keyboard")
    with running(data, **SETTINGS) as started:
        command = [sys.executable, "-m", "tests.acceptance.crowd"]
        subprocess.run(command, cwd=ROOT, env=environment(data, **SETTINGS), check=True, capture_output=True)
        yield started


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Page]:
    """Signed in, by keyboard too."""
    from tests.acceptance.browser import chromium

    with chromium() as browser:
        context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 900})
        opened = context.new_page()
        opened.goto("/admin/login/")
        to(opened, "Username:?")
        opened.keyboard.type(server.user)
        to(opened, "Password:?")
        opened.keyboard.type(server.password)
        opened.keyboard.press("Enter")
        opened.wait_for_url("**/admin/")
        yield opened
        context.close()


def to(page: Page, name: str, *, back: bool = False) -> None:
    """Tab on to the control of this name; everything on the way shows that it has the focus, and is in sight."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        at = page.evaluate(_FOCUSED)
        if not at["inBody"]:
            continue
        assert at["outline"] or at["shadow"], f"the focus is not seen on {at['html']}"
        assert at["inSight"], f"the focus is out of sight or covered: {at['html']}"
        if re.fullmatch(name, at["name"], re.IGNORECASE | re.DOTALL):
            return
    pytest.fail(f"no {name!r} within {MOST_TABS} tabs on {page.url}")


def press(page: Page, name: str, *, back: bool = False, key: str = "Enter") -> None:
    """Go to a control, press it, and wait for the page it leads to."""
    to(page, name, back=back)
    with page.expect_navigation():
        page.keyboard.press(key)


def test_a_release_is_reviewed_approved_and_installed(page: Page) -> None:
    """From home through the queue, the review, the reason and the consent to the activation that serves."""
    page.goto("/admin/")
    press(page, r"\d+\s+Releases waiting for review.*|Releases waiting for review.*")
    press(page, "word-count 1.0.0")
    press(page, "Approve")
    to(page, "Reason.*")
    page.keyboard.type("Read it; it does what it says.")
    press(page, "Approve", key="Space")
    assert "approved" in page.locator(".messagelist").inner_text()
    press(page, "Install")
    assert "It may" in page.locator("#content-main").inner_text()
    to(page, "Reason.*")
    page.keyboard.type("We need it.")
    press(page, "Agree and install", key="Space")
    assert "active" in page.locator("#content-main").inner_text()


def test_a_question_of_a_run_is_answered(page: Page) -> None:
    """From home to the waits; the answer is typed, Shift+Tab finds the way back, and the run goes on."""
    page.goto("/admin/")
    press(page, "(\\d+\\s+)?Questions of runs.*")
    to(page, "Answer as JSON to May this go out.*")
    page.keyboard.type('{"approved": true}')
    to(page, "Resolve")
    to(page, "Answer as JSON to May this go out.*", back=True)
    waited = page.locator("tbody tr").count()
    press(page, "Resolve")
    page.goto("/admin/runs/run/waiting/?kind=MANUAL")
    assert page.locator("tbody tr").count() == waited - 1


def test_a_failed_activation_is_retried_and_a_plugin_uninstalled(page: Page) -> None:
    """Retry makes a new attempt; Uninstall asks for its reason, and the box for the data is ticked with Space."""
    page.goto("/admin/zelavis/activation/?state__exact=failed")
    press(page, "refuses|.*act_.*|.*ago")
    press(page, "Retry")
    assert re.search(r"2, after act_", page.locator("#content-main").inner_text())
    page.goto("/admin/zelavis/pluginentry/")
    press(page, "counter")
    press(page, "Uninstall …")
    to(page, "Delete its data too.*")
    page.keyboard.press("Space")
    assert page.locator("#purge").is_checked()
    to(page, "Reason.*")
    page.keyboard.type("It is not needed.")
    press(page, "Uninstall", key="Space")
    assert "no longer serves" in page.locator(".messagelist").inner_text()
