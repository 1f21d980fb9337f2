"""The plugin's way: reviewed, installed, at work, beside one that is hostile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.acceptance import scene
from tests.server import Server, eventually, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("plugins")) as started:
        yield started


def fired(server: Server, plugin: str, count: int) -> list[dict[str, Any]]:
    """The plugin's ``content:afterSave`` calls, once there are so many."""

    def enough() -> list[dict[str, Any]] | None:
        calls = [call for call in scene.invocations(server, plugin) if call["hook"] == "content:afterSave"]
        return calls if len(calls) >= count else None

    return eventually(enough, what=f"{count} calls of {plugin}")


def test_a_plugin_is_reviewed_installed_and_counts(server: Server) -> None:
    """From the queue to the count: nothing runs before approval, consent shows what it may do, each save counts one."""
    browser = server.browser()
    assert "word-count" in browser.get("/admin/marketplace/release/queue/").text
    page = scene.approve(browser, "word-count")
    review = browser.get(page).text
    for shown in ("sha256:", "kv", "Manifest", "content:afterSave", "Findings"):
        assert shown in review
    assert scene.invocations(server, "word-count") == []
    consent = browser.get("/admin/zelavis/pluginentry/install/word-count/").text
    assert "It may" in consent
    assert "kv" in consent
    timeline = scene.install(browser, "word-count")
    assert re.search(r"deploy", timeline)
    assert re.search(r"\d+(\.\d+)? ms", timeline)
    for count in (1, 2, 3):
        scene.save_page(browser, "<p>Three small words</p>")
        calls = fired(server, "word-count", count)
        assert len(calls) == count
        assert calls[0]["status"] == "ok"
        assert calls[0]["result"]["saves"] == count
        assert calls[0]["result"]["words"] == 4
        assert calls[0]["hostCalls"] >= 2
        assert calls[0]["memoryBytes"] > 0
    listed = browser.get("/admin/sandbox/invocation/").text
    assert listed.count("content:afterSave") >= 3


def test_a_plugin_installed_by_token_does_the_same(server: Server) -> None:
    """POST /api/plugins/:name/install deploys and activates, and the activation tells each step with its time."""
    scene.approve(server.browser(), "hostile-loop")
    answer = server.api.post("/api/plugins/hostile-loop/install")
    assert answer.status_code in (200, 202), answer.text
    assert answer.json()["activation"]["status"] == "active"
    listed = server.api.get("/api/plugins/hostile-loop/activations").json()["data"]
    assert listed[0]["status"] == "active"
    detail = server.api.get(f"/api/activations/{listed[0]['id']}").json()
    assert len(detail["events"]) >= 3


def test_a_hostile_plugin_harms_nobody(server: Server) -> None:
    """A hook that never ends is stopped at its deadline; saving works, the worker lives, the other plugin is ok."""
    before = len(fired(server, "word-count", 3))
    scene.save_page(server.browser(), "Two words")
    calls = fired(server, "word-count", before + 1)
    assert calls[0]["status"] == "ok"
    assert calls[0]["result"]["saves"] == before + 1
    assert fired(server, "hostile-loop", 1)[0]["status"] == "deadline"
    assert server.api.get("/readyz").json()["checks"]["worker"] == "ok"


def test_another_host_fires_the_hook(server: Server) -> None:
    """POST /api/hooks/content:afterSave fires the same hook and returns each plugin's outcome."""
    content = {"url": "/x/", "title": "Hello", "body": "Four small words here"}
    event = {"collection": "pages", "id": "1", "content": content}
    answer = server.api.post("/api/hooks/content:afterSave", json={"event": event})
    assert answer.status_code == 200, answer.text
    outcomes = {outcome["plugin"]: outcome for outcome in answer.json()["outcomes"]}
    assert outcomes["word-count"]["status"] == "ok"
    assert outcomes["word-count"]["result"]["words"] == 5
    assert outcomes["hostile-loop"]["status"] in ("deadline", "resting")


def test_this_server_answers_as_a_plugin_worker(server: Server) -> None:
    """POST /__zelavis/plugin/activate takes the seed's example body and answers active or pending, as the seed says."""
    body = {"pluginName": "search", "action": "install", "specifier": "https://example.com/search.mjs", "registry": []}
    answer = httpx.post(f"{server.url}/__zelavis/plugin/activate", json=body)
    assert answer.status_code == 200
    assert answer.json()["status"] == "pending"
    assert isinstance(answer.json()["message"], str)
    known = httpx.post(f"{server.url}/__zelavis/plugin/activate", json={**body, "pluginName": "word-count"})
    assert known.json() == {"status": "active"}
    wrong = httpx.get(f"{server.url}/__zelavis/plugin/activate")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    for broken in ({**body, "action": "explode"}, {"pluginName": "x"}, []):
        assert httpx.post(f"{server.url}/__zelavis/plugin/activate", json=broken).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/api/plugins/nobody/install", {}, 404, None),
        ("GET", "/api/plugins/nobody", None, 404, None),
        ("POST", "/api/plugins/word-count/install", [], 400, "invalid_body"),
        ("POST", "/api/plugins/word-count/install", {"version": {}}, 400, "invalid_body"),
        ("POST", "/api/hooks/nobody:knows", {"event": {}}, 404, "unknown_hook"),
        ("POST", "/api/hooks/content:afterSave", {"event": {}}, 400, None),
        ("POST", "/api/hooks/content:afterSave", {}, 400, "invalid_body"),
    ],
)
def test_bad_input_is_told_and_changes_nothing(
    server: Server, method: str, path: str, body: Any, status: int, code: str | None
) -> None:
    """Unknown names and wrong shapes get a 4xx with a code and all members of a problem, and the registry stays."""
    before = server.api.get("/api/plugins").json()["revision"]
    answer = server.api.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert {"error", "message", "type", "title", "status", "detail", "requestId"} <= set(answer.json())
    assert code in (None, answer.json()["error"])
    assert server.api.get("/api/plugins").json()["revision"] == before
