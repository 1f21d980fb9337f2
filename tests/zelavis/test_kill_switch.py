"""The kill switch: what runs ends within a second in every process, and nothing new begins."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from sandbox.interrupts import Running
from tests.server import ROOT, Server, environment, eventually, free_port, running
from tests.services import PostgreSQL, Redis
from tests.zelavis import inflight
from tests.zelavis.cluster import Cluster
from tests.zelavis.plugs import ScriptedAdapter, serve
from zelavis import activation, hooks, killswitch, registry
from zelavis.adapters.base import Answer
from zelavis.errors import PluginBlocked
from zelavis.models import AuditEvent, PluginEntry

PAGE = {"collection": "flatpages.flatpage", "id": "1", "content": {"title": "About"}}
_PREPARE = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
django.setup()
from pathlib import Path
from django.core.management import call_command
call_command("migrate", verbosity=0)
from tests.zelavis.releases import looper
looper(Path(sys.argv[1]))
from django.contrib.auth.models import User
eve = User.objects.get(username="eve")
eve.set_password("a password for tests")
eve.save()
"""


def call(started: Any, *, plugin: str = "alpha", hook: str = "content:afterSave", digest: str = "d") -> Running:
    return Running(id="inv_1", plugin=plugin, version="1", digest=digest, hook=hook, started_at=started)


@pytest.mark.django_db
def test_which_calls_must_end() -> None:
    """Of a plugin that is blocked, gone, or was stopped after they began; not farewells, not what nobody knows."""
    serve("alpha")
    before = timezone.now()
    assert killswitch.must_end([call(before)]) == {}
    registry.block("alpha", actor="user:a", reason="It loops.")
    assert killswitch.must_end([call(before)]) == {"inv_1": "The plugin was stopped: It loops."}
    later = timezone.now()
    assert killswitch.must_end([call(later)]) == {"inv_1": "The plugin does not serve any more."}
    assert killswitch.must_end([call(later, hook="plugin:uninstall")]) == {}
    registry.unblock("alpha", actor="user:a")
    # It serves again, and still the call from before must not go on.
    assert "inv_1" in killswitch.must_end([call(before)])
    assert killswitch.must_end([call(timezone.now())]) == {}
    assert killswitch.must_end([call(before, plugin="unknown")]) == {}
    PluginEntry.objects.update(serving=None, activation_state="inactive")
    assert "inv_1" in killswitch.must_end([call(timezone.now())])


@pytest.mark.django_db
def test_a_blocked_plugin_keeps_its_place(api: APIClient, scripted: ScriptedAdapter) -> None:
    """Nobody calls, updates or rolls it back; unblocked it goes on as before; both deeds are in the audit log."""
    serve("alpha", hooks=["content:afterSave"])
    assert api.post("/api/plugins/alpha/block", {"reason": " "}, format="json").status_code == 400
    answer = api.post("/api/plugins/alpha/block", {"reason": "It misbehaves."}, format="json")
    assert answer.status_code == 200, answer.json()
    assert (answer.json()["plugin"]["blocked"], answer.json()["plugin"]["version"]) == ("It misbehaves.", "1.0.0")
    assert hooks.fire("content:afterSave", PAGE).outcomes == []
    assert api.get("/plugins/alpha/x").json()["error"] == "unknown_plugin"
    refused = api.post("/api/plugins/alpha/activate", {}, format="json")
    assert (refused.status_code, refused.json()["error"]) == (409, "plugin_blocked")
    answer = api.post("/api/plugins/alpha/unblock", {}, format="json", HTTP_IF_MATCH=answer["ETag"])
    assert answer.json()["plugin"]["blocked"] == ""
    assert [one.status for one in hooks.fire("content:afterSave", PAGE).outcomes] == ["ok"]
    deeds = AuditEvent.objects.filter(target="plugin:alpha", action__in=("plugin.block", "plugin.unblock"))
    assert sorted(deeds.values_list("action", flat=True)) == ["plugin.block", "plugin.unblock"]


@pytest.mark.django_db
def test_an_attempt_at_work_does_not_get_past_a_block(scripted: ScriptedAdapter) -> None:
    """Blocked while the worker was being asked: the answer "active" brings nothing into service."""
    serve("alpha")

    def blocked_meanwhile(order: Any) -> Answer:
        registry.block("alpha", actor="user:a", reason="Now.")
        return Answer(status="active")

    scripted.on_activate = blocked_meanwhile
    row = activation.activate("alpha", actor="user:a")
    assert (row.state, row.code) == ("failed", "plugin_blocked")
    with pytest.raises(PluginBlocked):
        activation.rollback("alpha", actor="user:a")
    scripted.on_activate = lambda order: Answer(status="active")
    assert activation.uninstall("alpha", actor="user:a").state == "inactive"


class Calls:
    """Requests that run until something ends them."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, list[str]]] = []
        self._threads: list[threading.Thread] = []

    def start(self, client: httpx.Client) -> None:
        def ask() -> None:
            answer = client.post("/api/hooks/content:afterSave", json={"event": PAGE})
            assert answer.status_code == 200, answer.text
            self.ends.append((time.monotonic(), [one["status"] for one in answer.json()["outcomes"]]))

        self._threads.append(threading.Thread(target=ask))
        self._threads[-1].start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(timeout=30)


def done(api: httpx.Client, event: str) -> bool:
    return any(one["id"] == event and one["state"] == "done" for one in api.get("/api/hooks/events").json()["data"])


def everywhere(webs: list[httpx.Client], save: Callable[[], str], kill: Callable[[], httpx.Response]) -> None:
    """A loop in each web server and in the worker; one request ends them all."""
    calls = Calls()
    for web in webs:
        calls.start(web)
    event = save()

    def row() -> Any:
        return next(one for one in webs[0].get("/api/hooks/events").json()["data"] if one["id"] == event)

    eventually(lambda: row()["passes"] == 1, seconds=20, what="the worker's call")
    time.sleep(1.0)
    assert calls.ends == []
    answer = kill()
    killed = time.monotonic()
    assert answer.status_code < 300, answer.text
    for web in webs:
        assert web.post("/api/hooks/content:afterSave", json={"event": PAGE}).json()["outcomes"] == []
    told = eventually(lambda: (row()["outcomes"] or [None])[0], seconds=10, what="the end of the worker's call")
    ended = time.monotonic()
    calls.wait()
    assert [status for _, status in calls.ends] == [["cancelled"]] * len(webs)
    assert told["status"] == "cancelled"
    late = [*(round(moment - killed, 2) for moment, _ in calls.ends), round(ended - killed, 2)]
    assert max(late) < 1.0, late


@contextlib.contextmanager
def second_web(server: Server, data: Path) -> Iterator[httpx.Client]:
    """Another web server on the same SQLite database."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
         "--workers", "1", "--blocking-threads", "4", "--log-level", "error", "--no-ws", "zelavis.wsgi:application"],
        cwd=ROOT, env=environment(data), stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=server.api.headers, timeout=30, trust_env=False)

    def ready() -> bool:
        try:
            return client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(ready, seconds=60, what="the second server's start")
        yield client
    finally:
        client.close()
        # Its worker too, which outlives the server that started it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def kills(api: httpx.Client, deed: str) -> Callable[[], httpx.Response]:
    """One of the deeds that end running calls."""
    if deed == "block":
        return lambda: api.post("/api/plugins/looper/block", json={"reason": "It loops."})
    if deed == "quarantine":
        release = api.get("/api/marketplace/plugins/looper/releases/1.0.0").json()["id"]
        return lambda: api.post(f"/api/marketplace/releases/{release}/quarantine", json={"reason": "It loops."})
    return lambda: api.post("/api/plugins/looper/uninstall", json={})


@pytest.mark.chaos
@pytest.mark.parametrize("deed", ["block", "quarantine"])
def test_running_calls_end_within_a_second_on_sqlite(tmp_path: Path, deed: str) -> None:
    """Two web servers and a worker on one SQLite file: a block or a quarantine ends the loops of all three."""
    data = tmp_path / "data"
    subprocess.run(
        [sys.executable, "-c", _PREPARE, str(tmp_path)], cwd=ROOT, check=True,
        env={**environment(data), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    with running(data) as server, second_web(server, data) as second:
        assert server.api.post("/api/plugins/looper/install", json={}).status_code == 200
        # The server made no administrator: there were accounts already.
        server.user, server.password = "eve", "a password for tests"
        browser = server.browser()

        def save() -> str:
            browser.fill_in("/admin/flatpages/flatpage/1/change/", title="Again", content="x", sites="1")
            [event] = server.api.get("/api/hooks/events").json()["data"]
            return str(event["id"])

        everywhere([server.api, second], save, kills(server.api, deed))
        if deed == "quarantine":
            entry = second.get("/api/plugins/looper").json()
            assert (entry["version"], entry["activation"]) == (None, "inactive")
            assert second.post("/api/plugins/looper/install", json={}).status_code >= 400


@pytest.mark.chaos
@pytest.mark.parametrize(("slots", "seconds"), [(16, 1.0), (inflight.CALLS, 10.0)])
def test_h13_a_quarantine_ends_a_hundred_calls_in_flight(tmp_path: Path, slots: int, seconds: float) -> None:
    """H13: those that loop and those that wait for a slot all end as cancelled; from the commit on nothing new begins.

    With a slot for each of them a hundred threads spin on the processors that there are, and the ends of their calls
    want their share too; half a minute is what each of them had.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.zelavis.inflight", str(tmp_path / "releases"), str(slots)],
        cwd=ROOT, env=environment(tmp_path / "data", ZELAVIS_SANDBOX_SLOTS=str(slots)), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["before"], told["looped"], told["new"], told["rows"]) == (0, slots, 0, inflight.CALLS)
    assert told["statuses"] == ["cancelled"] * inflight.CALLS
    assert told["refused"] < seconds
    assert max(told["ended"]) < seconds, told["ended"]


@pytest.mark.postgresql
@pytest.mark.redis
def test_running_calls_end_within_a_second_on_postgresql(
    postgresql_server: PostgreSQL, redis_server: Redis, tmp_path: Path
) -> None:
    """With two web servers and a worker on PostgreSQL, a block, uninstall or quarantine ends the loops of all three."""
    cluster = Cluster(tmp_path, database=postgresql_server.database("kill"), broker=redis_server.url)
    try:
        cluster.worker("one", pool="threads")
        cluster.ask("looper", str(tmp_path / "loops"))
        with contextlib.closing(cluster.web("web-a")) as first, contextlib.closing(cluster.web("web-b")) as second:
            assert first.post("/api/plugins/looper/install", json={}).status_code == 200

            def save(url: str = "/about/") -> str:
                [event] = cluster.ask("page", str(time.time()), url)["events"]
                cluster.deliver("one", event)
                return str(event)

            # Each process compiles the plugin for itself, at its first call.
            for web in (first, second):
                web.post("/api/hooks/content:afterSave", json={"event": {**PAGE, "created": True}})
            warm = save("/warm/")
            eventually(lambda: done(first, warm), seconds=60, what="the worker's first call")
            everywhere([first, second], save, kills(second, "block"))
            assert first.post("/api/plugins/looper/unblock", json={}).status_code == 200
            everywhere([first, second], save, kills(first, "uninstall"))
            assert second.post("/api/plugins/looper/install", json={}).status_code == 200
            everywhere([first, second], save, kills(second, "quarantine"))
    finally:
        cluster.close()
