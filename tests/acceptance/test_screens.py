"""Every screen of the admin and of the public catalogue, looked at by a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

import pytest

from tests.acceptance.scene import set_the_scene
from tests.server import Server, running

pytestmark = pytest.mark.browser
#: Pages of one kind are looked at so many times.
EACH = 2
MOST = 110


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which something has happened: reviews, installations, invocations, runs."""
    with running(tmp_path_factory.mktemp("screens")) as started:
        set_the_scene(started)
        yield started


def kind_of(path: str) -> str:
    """Pages that differ only in the object they show are of one kind."""
    parts = urlsplit(path)
    words = [
        "*" if re.search(r"\d|_[0-9a-z]{20,}|%", word) or word in ("word-count", "hostile-loop") else word
        for word in parts.path.split("/")
    ]
    keys = sorted(part.split("=")[0] for part in parts.query.split("&") if part)
    return "/".join(words) + "?" + "&".join(keys[:1])


def every_page(server: Server) -> list[str]:
    """Found by following links from home and from the catalogue, as a person would."""
    client = server.browser().client
    found: list[str] = []
    seen: dict[str, int] = {}
    waiting = ["/admin/", "/marketplace/", "/admin/login/"]
    while waiting and len(found) < MOST:
        path = waiting.pop(0)
        if path in found:
            continue
        answer = client.get(path)
        if path == "/marketplace/" and answer.status_code == 404:
            continue
        assert answer.status_code < 400, f"{path} answers {answer.status_code}"
        if "text/html" not in answer.headers.get("content-type", ""):
            continue
        found.append(path)
        for link in re.findall(r'<a [^>]*?href="([^"]+)"', answer.text):
            target = urldefrag(link.replace("&amp;", "&"))[0]
            if target.startswith("?"):
                target = urlsplit(path).path + target
            if not target.startswith(("/admin/", "/marketplace/")) or "logout" in target or "jsi18n" in target:
                continue
            kind = kind_of(target)
            if target not in found and target not in waiting and seen.get(kind, 0) < EACH:
                seen[kind] = seen.get(kind, 0) + 1
                waiting.append(target)
    return found


def test_no_page_breaks_a_rule(server: Server) -> None:
    """Every page, wide and narrow, light and dark: axe finds nothing, nothing overflows."""
    from tests.acceptance.browser import axe_script, chromium, session, violations

    script = axe_script()
    faults: list[str] = []
    pages = every_page(server)
    assert len(pages) > 20, pages
    with chromium() as browser:
        for width, scheme in ((1280, "light"), (390, "dark")):
            with session(browser, server, width=width, scheme=scheme) as page:
                for path in pages:
                    page.goto(path)
                    faults += [f"{path} at {width} {scheme}: {fault}" for fault in violations(page, script)]
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    if wide > width:
                        faults.append(f"{path} at {width}: {wide} px wide")
    assert faults == [], "\n".join(faults)


def test_no_page_needs_what_the_policy_forbids(server: Server) -> None:
    """With the content policy in force no page has anything blocked."""
    from tests.acceptance.browser import chromium, sign_in

    blocked: list[str] = []
    with chromium() as browser:
        context = browser.new_context(base_url=server.url)
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                blocked.append(f"{page.url}: {message.text}") if "Content Security" in message.text else None
            ),
        )
        sign_in(page, server)
        for path in every_page(server):
            page.goto(path)
        context.close()
    assert blocked == []


def test_the_screens_are_kept_as_pictures(server: Server, tmp_path: Path) -> None:
    """The seven main screens are drawn at both widths and both schemes for people to look at."""
    from tests.acceptance.browser import chromium, screenshot, session

    pages = [path for path in every_page(server) if kind_of(path).count("/") <= 5][:16]
    with chromium() as browser:
        for width in (1280, 390):
            for scheme in ("light", "dark"):
                with session(browser, server, width=width, scheme=scheme) as page:
                    for path in pages:
                        page.goto(path)
                        screenshot(page, f"{re.sub(r'[^a-z0-9]+', '-', path).strip('-')}-{width}-{scheme}")
    assert pages
