"""What a person does on the first day, over HTTP and in the admin."""

from __future__ import annotations

import re
from typing import Any

from tests.server import Browser, Server, eventually


def approve(browser: Browser, plugin: str) -> str:
    """Find a release in the curation queue, read it, approve it with a reason; the path of its page."""
    queue = browser.get("/admin/marketplace/release/queue/").text
    found = re.search(rf'href="(/admin/marketplace/release/[^"/]+/change/)[^"]*">[^<]*{plugin}', queue)
    assert found, f"{plugin} is not in the queue"
    page = browser.get(found[1]).text
    verb = re.search(r'href="([^"]+/verb/approve/)"', page)
    assert verb, f"{plugin} cannot be approved: {page}"
    answer = browser.fill_in(verb[1], reason="Read it; it does what it says.")
    assert "approved" in answer.text
    return found[1]


def install(browser: Browser, plugin: str) -> str:
    """Agree to what the plugin may do; the activation's page."""
    answer = browser.fill_in(f"/admin/zelavis/pluginentry/install/{plugin}/", reason="We need it.")
    assert "active" in answer.text
    return answer.text


def save_page(browser: Browser, text: str) -> None:
    """Edit the flat page in the admin and save."""
    listed = browser.get("/admin/flatpages/flatpage/").text
    path = re.search(r'href="(/admin/flatpages/flatpage/\d+/change/)', listed)
    assert path
    answer = browser.fill_in(
        path[1], url="/about/", title="About", content=text, sites="1", template_name="", _save="Save"
    )
    assert "was changed successfully" in answer.text, answer.text


def invocations(server: Server, plugin: str) -> list[dict[str, Any]]:
    """The plugin's calls, newest first."""
    answer = server.api.get("/api/invocations", params={"plugin": plugin})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def set_the_scene(server: Server) -> None:
    """Reviews, installations, invocations and runs, so that every screen has something to show."""
    browser = server.browser()
    for plugin in ("word-count", "hostile-loop"):
        approve(browser, plugin)
        install(browser, plugin)
    save_page(browser, "Three small words")
    eventually(lambda: invocations(server, "hostile-loop"), what="the hook")
    for body in ({"workflowId": "greet", "input": {"name": "Ada"}}, {"workflowId": "greet"}):
        assert server.api.post("/api/runs", json=body).status_code == 200
    run = server.api.post("/api/runs", json={"workflowId": "greet"}).json()
    server.api.post(f"/api/runs/{run['id']}/cancel", json={"reason": "for the picture"})
