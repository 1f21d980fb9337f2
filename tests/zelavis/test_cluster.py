"""Two web servers and two Celery workers on PostgreSQL and Redis: one registry, seen by all at the next call."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server import eventually
from tests.services import PostgreSQL, Redis
from tests.zelavis.cluster import Cluster

pytestmark = [pytest.mark.postgresql, pytest.mark.redis]
QUEUES = ("one", "two")
EVENT = {"collection": "flatpages.flatpage", "id": "1", "content": {"title": "About"}}


@pytest.fixture(scope="module")
def cluster(
    postgresql_server: PostgreSQL, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    running = Cluster(
        tmp_path_factory.mktemp("cluster"), database=postgresql_server.database("cluster"), broker=redis_server.url
    )
    try:
        running.worker("one", pool="prefork")
        running.worker("two", pool="threads")
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def webs(cluster: Cluster) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    with contextlib.closing(cluster.web("web-a")) as first, contextlib.closing(cluster.web("web-b")) as second:
        yield first, second


def post(client: httpx.Client, path: str, **body: Any) -> httpx.Response:
    return client.post(path, json=body)


def versions(client: httpx.Client) -> list[tuple[str, str]]:
    """Who answers the hook at this web server, with which version."""
    answer = post(client, "/api/hooks/content:afterSave", event=EVENT)
    assert answer.status_code == 200, answer.text
    return [(outcome["status"], outcome["version"]) for outcome in answer.json()["outcomes"]]


def delivered(cluster: Cluster, client: httpx.Client, queue: str) -> list[tuple[str, str]]:
    """Save a page and let this worker deliver its hook; who answered there."""
    events = cluster.ask("page", f"for {queue}")["events"]
    if not events:
        return []
    [event] = events
    cluster.deliver(queue, event)

    def done() -> Any:
        rows = client.get("/api/hooks/events").json()["data"]
        return next((row for row in rows if row["id"] == event and row["state"] == "done"), None)

    row = eventually(done, seconds=60, what=f"a delivery by worker {queue}")
    calls = [client.get(f"/api/invocations/{outcome['invocation']}").json() for outcome in row["outcomes"]]
    return [(call["status"], call["version"]) for call in calls]


def everywhere(cluster: Cluster, webs: tuple[httpx.Client, httpx.Client], expected: list[tuple[str, str]]) -> None:
    """Both web servers and both workers answer alike, at the first call after the change."""
    assert [versions(web) for web in webs] == [expected, expected]
    assert [delivered(cluster, webs[0], queue) for queue in QUEUES] == [expected, expected]


def test_every_process_sees_a_change_at_its_next_call(
    cluster: Cluster, webs: tuple[httpx.Client, httpx.Client]
) -> None:
    """Install, update, roll back and uninstall through one server; all others follow at once, none is started anew."""
    first, second = webs
    everywhere(cluster, webs, [])
    installed = post(first, "/api/plugins/counter/install", version="1.0.0")
    assert installed.json()["activation"]["status"] == "active", installed.text
    everywhere(cluster, webs, [("ok", "1.0.0")])
    assert post(second, "/api/plugins/counter/update").json()["activation"]["status"] == "active"
    everywhere(cluster, webs, [("ok", "1.1.0")])
    assert post(first, "/api/plugins/counter/rollback").json()["activation"]["status"] == "active"
    everywhere(cluster, webs, [("ok", "1.0.0")])
    route = second.get("/plugins/counter/stats")
    assert route.status_code == 200
    assert route.json()["saves"] >= 6
    uninstalled = post(second, "/api/plugins/counter/uninstall")
    assert uninstalled.status_code == 200, uninstalled.text
    everywhere(cluster, webs, [])


def test_writers_in_two_processes_lose_nothing(webs: tuple[httpx.Client, httpx.Client]) -> None:
    """Forty registrations at once through two servers are forty entries, and the revision tells of each."""
    before = webs[0].get("/api/plugins").json()["revision"]
    answers: list[int] = []

    def register(client: httpx.Client, prefix: str) -> None:
        for number in range(10):
            for _ in range(20):
                answer = post(client, "/api/plugins", name=f"{prefix}-{number}")
                if answer.json().get("error") != "registry_contended":
                    break
            answers.append(answer.status_code)

    threads = [
        threading.Thread(target=register, args=(client, f"p{place}{letter}"))
        for place, client in enumerate(webs)
        for letter in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [201] * 40
    listed = [web.get("/api/plugins").json() for web in webs]
    assert listed[0] == listed[1]
    names = {entry["name"] for entry in listed[0]["data"]}
    assert {f"p{place}{letter}-{number}" for place in (0, 1) for letter in "ab" for number in range(10)} <= names
    assert listed[0]["revision"] >= before + 40


def test_two_operators_at_once_end_with_one_active_version(
    cluster: Cluster, webs: tuple[httpx.Client, httpx.Client]
) -> None:
    """Both install at the same moment through different servers: one is active, the other is told why not."""
    answers: list[httpx.Response] = []
    wanted = zip(webs, ("1.0.0", "1.1.0"), strict=True)
    threads = [
        threading.Thread(
            target=lambda client=client, version=version: answers.append(
                post(client, "/api/plugins/counter/install", version=version)
            )
        )
        for client, version in wanted
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    active = [answer for answer in answers if answer.is_success and answer.json()["activation"]["status"] == "active"]
    assert len(active) == 1, [answer.text for answer in answers]
    [other] = [answer for answer in answers if answer not in active]
    assert other.status_code == 409, other.text
    assert other.json()["error"] in ("activation_in_progress", "plugin_installed", "registry_contended")
    serving = versions(webs[0])
    assert len(serving) == 1
    everywhere(cluster, webs, serving)
