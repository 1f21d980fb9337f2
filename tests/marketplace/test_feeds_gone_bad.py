"""Two real servers, one of which follows the other: what holds there when the feed is too old, or older than before."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance import scene
from tests.marketplace.brief.apps import LASTS
from tests.server import Browser, Server, eventually, free_port, running

pytestmark = pytest.mark.slow
SOURCES = "/admin/marketplace/feedsource/"
#: Seconds after which a follower must have noticed; it asks every second.
SOON = 60
EVENT = {"collection": "flatpages.flatpage", "id": "1", "content": {"id": "1", "body": "two words"}}


def follow(browser: Browser, issuer: Server) -> None:
    """Follow a server as the how-to says, with the strict policy and next to no grace."""
    browser.fill_in(
        f"{SOURCES}add/",
        name="issuer",
        url=f"{issuer.url}/api/marketplace/feed",
        public_key=issuer.api.get("/api/marketplace/key").json()["publicKey"],
        policy="closed",
        grace_seconds="1",
        every_seconds="1",
        enabled="on",
    )


def choose(browser: Browser, policy: str) -> None:
    """Change what a feed that is not fresh means here."""
    found = re.search(rf'href="({SOURCES}\d+/change/)', browser.get(SOURCES).text)
    assert found
    answer = browser.fill_in(found[1], policy=policy, enabled="on")
    assert "was changed successfully" in answer.text


def listed(browser: Browser) -> dict[str, str]:
    """The only source as the admin's list shows it, by column."""
    cells = re.findall(r'<t[dh] class="field-(\w+)[^"]*"[^>]*>(.*?)</t[dh]>', browser.get(SOURCES).text, re.DOTALL)
    # A badge begins with a sign.
    return {name: re.sub("<[^>]+>", "", cell).lstrip("●◐◆▲○ ").strip() for name, cell in cells}


def wait(browser: Browser, what: str, **columns: str) -> None:
    """Until the list says all of this."""
    wanted: Callable[[], bool] = lambda: columns.items() <= listed(browser).items()  # noqa: E731  what eventually takes
    eventually(wanted, seconds=SOON, what=what)


def refusal(server: Server, plugin: str) -> str:
    """Why a plugin cannot be installed; nothing changes."""
    answer = server.api.post(f"/api/plugins/{plugin}/install", json={})
    assert (answer.status_code, answer.json()["error"]) == (403, "release_blocked"), answer.text
    assert server.api.get(f"/api/plugins/{plugin}").json().get("activation") != "active"
    return str(answer.json()["message"])


def quarantine(server: Server, plugin: str) -> None:
    """Revoke the only release of a plugin."""
    found = server.api.get(f"/api/marketplace/plugins/{plugin}/releases").json()["data"]
    answer = server.api.post(
        f"/api/marketplace/releases/{found[0]['id']}/quarantine", json={"reason": f"{plugin} phones home."}
    )
    assert answer.status_code == 200, answer.text


def serving(server: Server) -> list[tuple[str, str]]:
    """Who answers a hook, and how."""
    answer = server.api.post("/api/hooks/content:afterSave", json={"event": EVENT})
    assert answer.status_code == 200, answer.text
    return [(one["plugin"], one["status"]) for one in answer.json()["outcomes"]]


def test_a_feed_that_nobody_renews(tmp_path: Path) -> None:
    """Once the feed expired nothing new installs, what runs goes on and what was revoked stays so; with the policy open
    the last list counts on; a new feed ends it."""
    port, wanted = free_port(), ("word-count", "word-count-rust", "word-count-c")
    frozen = {"DJANGO_SETTINGS_MODULE": "tests.marketplace.brief.settings"}
    with running(tmp_path / "follower") as follower:
        browser = follower.browser()
        for plugin in wanted:
            scene.approve(browser, plugin)
        scene.install(browser, "word-count")
        with running(tmp_path / "issuer", port=port, **frozen) as issuer:
            scene.approve(issuer.browser(), "word-count-rust")
            quarantine(issuer, "word-count-rust")
            follow(browser, issuer)
            wait(browser, "the first feed", freshness="fresh", outcome="ok", serial="1")
            assert "revoked by issuer" in refusal(follower, "word-count-rust")
            time.sleep(LASTS)
            wait(browser, "the end of the feed", freshness="expired", outcome="expired")
            assert "stale" in refusal(follower, "word-count-c")
            assert "Feeds that are not fresh" in browser.get("/admin/").text
            assert serving(follower) == [("word-count", "ok")]
            choose(browser, "open")
            assert "revoked by issuer" in refusal(follower, "word-count-rust")
            answer = follower.api.post("/api/plugins/word-count-c/install", json={})
            assert answer.json()["activation"]["status"] == "active", answer.text
            choose(browser, "closed")
            assert listed(browser)["freshness"] == "expired"
            assert follower.api.post("/api/plugins/word-count-c/uninstall", json={}).status_code == 200
            assert "stale" in refusal(follower, "word-count-c")
        wait(browser, "the end of the issuer", freshness="expired", outcome="unreachable")
        assert "stale" in refusal(follower, "word-count-c")
        with running(tmp_path / "issuer", port=port):
            wait(browser, "a new feed", freshness="fresh", outcome="ok", serial="1")
            answer = follower.api.post("/api/plugins/word-count-c/install", json={})
            assert answer.json()["activation"]["status"] == "active", answer.text
            assert "revoked by issuer" in refusal(follower, "word-count-rust")


def test_a_feed_that_was_rolled_back(tmp_path: Path) -> None:
    """An issuer that comes back from a backup says less than before, well signed and fresh: the follower refuses it,
    also after the issuer has given out the lost serials again, and lets go nothing of what was revoked."""
    port, data, backup = free_port(), tmp_path / "issuer", tmp_path / "backup"
    with running(tmp_path / "follower") as follower:
        browser = follower.browser()
        scene.approve(browser, "word-count")
        scene.install(browser, "word-count")
        with running(data, port=port) as issuer:
            for plugin in ("word-count", "hostile-loop"):
                scene.approve(issuer.browser(), plugin)
            issuer.stop()
        shutil.copytree(data, backup)
        with running(data, port=port) as issuer:
            follow(browser, issuer)
            wait(browser, "the first feed", freshness="fresh", outcome="ok", serial="0")
            assert serving(follower) == [("word-count", "ok")]
            quarantine(issuer, "word-count")
            wait(browser, "the revocation", outcome="ok", serial="1")
            assert serving(follower) == []
            issuer.stop()
        shutil.rmtree(data)
        backup.rename(data)
        with running(data, port=port) as issuer:
            wait(browser, "the older feed", freshness="fresh", outcome="stale", serial="1")
            assert "word-count phones home." in refusal(follower, "word-count")
            quarantine(issuer, "hostile-loop")
            again = "something else under the serial 1"
            eventually(lambda: again in follower.printed, seconds=SOON, what="the serial that is given out again")
            assert "word-count phones home." in refusal(follower, "word-count")
            assert serving(follower) == []
