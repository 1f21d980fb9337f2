"""Headless Chromium for the admin: signed in, watched for errors, checked with axe."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.server import ROOT, Server

if TYPE_CHECKING:
    # Not in requirements.txt: the default suite collects these tests without it.
    from playwright.sync_api import Browser, Page

AXE_VERSION = "4.14.1"
#: Style sheets are the page's own, so axe need not fetch them again.
_AXE = "async () => (await axe.run(document, {resultTypes: ['violations'], preload: false})).violations"
#: What a person works with; a screen reader says its name.
_CONTROLS = frozenset(
    {
        *("button", "checkbox", "combobox", "link", "listbox", "menuitem", "radio", "searchbox", "slider"),
        *("spinbutton", "switch", "tab", "textbox"),
    }
)
#: Nothing of Chromium's own talks to the outside.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-default-apps"),
]


def npm_package(name: str, version: str) -> Path:
    """The folder of a package from npm, installed once and kept under build/."""
    home = ROOT / "build" / f"{name}-{version}"
    folder = home / "node_modules" / name
    if not (folder / "package.json").exists():
        home.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home)]
        subprocess.run([*command, f"{name}@{version}"], check=True)
    return folder


def axe_script() -> str:
    """The source of axe-core."""
    return (npm_package("axe-core", AXE_VERSION) / "axe.min.js").read_text(encoding="utf-8")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    executable = shutil.which("chromium")
    assert executable, "Chromium is not installed"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def session(browser: Browser, server: Server, *, width: int = 1280, scheme: Any = "light") -> Iterator[Page]:
    """A signed-in page."""
    # bypass_csp lets axe be injected; the policy itself is proven by a page without it.
    context = browser.new_context(
        base_url=server.url, viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    sign_in(page, server)
    yield page
    context.close()


def sign_in(page: Page, server: Server) -> None:
    """As a person would."""
    page.goto("/admin/login/")
    page.fill("#id_username", server.user)
    page.fill("#id_password", server.password)
    page.click("input[type=submit]")
    page.wait_for_url("**/admin/")


def violations(page: Page, script: str) -> list[str]:
    """What axe finds on the present page: rule, impact and the elements."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(script)
    found = page.evaluate(_AXE)
    return [
        f"{item['id']} ({item['impact']}): {', '.join(node['target'][0] for node in item['nodes'][:4])}"
        for item in found
    ]


def unheard(page: Page) -> list[str]:
    """What is wrong with the page for whoever hears it: controls without a name, landmarks, headings."""
    spoken = page.context.new_cdp_session(page)
    nodes = spoken.send("Accessibility.getFullAXTree")["nodes"]
    spoken.detach()
    roles = [node.get("role", {}).get("value") for node in nodes if not node.get("ignored")]
    faults = [
        f"a {node['role']['value']} without a name"
        for node in nodes
        if not node.get("ignored")
        and node.get("role", {}).get("value") in _CONTROLS
        and not node.get("name", {}).get("value", "").strip()
    ]
    if roles.count("main") != 1:
        faults.append(f"{roles.count('main')} main landmarks")
    headings = page.locator("h1:visible").count()
    if headings != 1:
        faults.append(f"{headings} h1")
    return faults


def screenshot(page: Page, name: str) -> None:
    """Keep a picture under build/, outside the repository."""
    folder = Path(ROOT) / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(folder / f"{name}.png"), full_page=True)
