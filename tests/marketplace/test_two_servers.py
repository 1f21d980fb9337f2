"""Two real servers: one revokes, the other follows its feed."""

from __future__ import annotations

import pytest

from tests.acceptance import scene
from tests.server import Server, eventually, running

pytestmark = pytest.mark.slow


def release_of(server: Server, name: str) -> str:
    """Id of the only release of a plugin, for curators."""
    listed = server.api.get(f"/api/marketplace/plugins/{name}/releases").json()["data"]
    return str(listed[0]["id"])


def test_a_quarantine_here_stops_the_plugin_there(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A quarantine on one server reaches a plugin installed on another through the signed feed, and its end too."""
    with (
        running(tmp_path_factory.mktemp("issuer")) as issuer,
        running(tmp_path_factory.mktemp("follower")) as follower,
    ):
        for server in (issuer, follower):
            scene.approve(server.browser(), "word-count")
        browser = follower.browser()
        scene.install(browser, "word-count")
        assert follower.api.get("/api/plugins/word-count").json()["activation"] == "active"
        key = issuer.api.get("/api/marketplace/key").json()["publicKey"]
        browser.fill_in(
            "/admin/marketplace/feedsource/add/",
            name="issuer",
            url=f"{issuer.url}/api/marketplace/feed",
            public_key=key,
            policy="closed",
            grace_seconds="60",
            every_seconds="1",
            enabled="on",
        )

        def held() -> bool | None:
            return "fresh" in browser.get("/admin/marketplace/feedsource/").text or None

        eventually(held, seconds=15, what="the first feed")
        verb = f"/api/marketplace/releases/{release_of(issuer, 'word-count')}"
        done = issuer.api.post(f"{verb}/quarantine", json={"reason": "Phones home."})
        assert done.status_code == 200, done.text

        def stopped() -> bool | None:
            return follower.api.get("/api/plugins/word-count").json()["activation"] != "active" or None

        eventually(stopped, seconds=15, what="the stop on the other server")
        refused = follower.api.post("/api/plugins/word-count/install", json={})
        assert refused.json()["error"] == "release_blocked"
        assert "Phones home." in refused.json()["message"]
        assert issuer.api.post(f"{verb}/release", json={"reason": "It did not."}).status_code == 200

        def free() -> bool | None:
            answer = follower.api.post("/api/plugins/word-count/install", json={})
            return answer.json().get("error") != "release_blocked" or None

        eventually(free, seconds=15, what="the release on the other server")


def test_a_forged_feed_changes_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A server that follows the right place with the wrong key takes nothing, and says that it is invalid."""
    with (
        running(tmp_path_factory.mktemp("issuer")) as issuer,
        running(tmp_path_factory.mktemp("follower")) as follower,
    ):
        wrong = follower.api.get("/api/marketplace/key").json()["publicKey"]
        browser = follower.browser()
        browser.fill_in(
            "/admin/marketplace/feedsource/add/",
            name="issuer",
            url=f"{issuer.url}/api/marketplace/feed",
            public_key=wrong,
            policy="closed",
            grace_seconds="60",
            every_seconds="1",
            enabled="on",
        )

        def told() -> bool | None:
            return "invalid" in browser.get("/admin/marketplace/feedsource/").text or None

        eventually(told, seconds=15, what="the refusal")
        scene.approve(browser, "word-count")
        assert follower.api.post("/api/plugins/word-count/install", json={}).json()["error"] == "release_blocked"
