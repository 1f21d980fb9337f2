"""``manage.py plugin_worker`` as a process with a data directory of its own, driven by the dispatch adapter."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from sandbox.models import Invocation, PluginValue
from tests.server import ROOT, environment, eventually, free_port
from tests.zelavis.adapters.conftest import KEY, Notes, make_call, make_entry, make_order
from tests.zelavis.releases import approved
from zelavis import activation, errors, hooks, registry, signing
from zelavis.adapters.base import Answer, CallOutcome, DeployRefused
from zelavis.adapters.dispatch import DispatchAdapter
from zelavis.models import DispatchWorker
from zelavis.worker import hosting, upkeep
from zelavis.worker.replays import KEEP_SECONDS, Answers

SOURCE = b"""
export default {
  hooks: {
    "plugin:install": async (event, ctx) => { await ctx.kv.increment("installs"); },
    "content:beforeSave": async (event) => ({ reject: { message: "No.", field: "title" } }),
    "content:afterSave": async (event, ctx) => ({ saves: await ctx.kv.increment("saves"), by: ctx.plugin.version }),
    "content:afterDelete": async (event, ctx) => ctx.content.get("flatpages.flatpage", "1"),
    "user:created": async (event) => { throw new TypeError("broken"); },
    "cron": async () => { for (;;); },
  },
  routes: { "GET /stats": async (request, ctx) => ({ status: 200, json: { saves: await ctx.kv.get("saves"),
                                                                         installs: await ctx.kv.get("installs") } }) },
};
"""
OTHER = SOURCE + b"\n// the second version"
GRANTS = {"kv": {"reason": "Counts.", "bytes": 65536}, "content:read": {"reason": "Reads."}}
adapter = DispatchAdapter()


class Worker:
    """The worker process."""

    def __init__(self, data: Path) -> None:
        self.data, self.port = data, free_port()
        self.start()

    def start(self, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "plugin_worker", "--port", str(self.port)],
            cwd=ROOT,
            env=environment(self.data, **{"ZELAVIS_WORKER_SECRET": KEY, **variables}),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            eventually(self.healthy, seconds=30, what="the worker's start")
        except AssertionError:
            self.stop()
            raise

    def healthy(self) -> bool:
        assert self.process.poll() is None, "the worker ended"
        try:
            return self.raw("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()

    def raw(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    running = Worker(tmp_path_factory.mktemp("worker"))
    yield running
    running.stop()
    shutil.rmtree(running.data, ignore_errors=True)


_count = 0


@pytest.fixture
def name() -> str:
    """A plugin's name of this test's own, since the worker serves all tests of the module."""
    global _count
    _count += 1
    return f"counter-{_count}"


@pytest.fixture
def worker(process: Worker, make_worker: Callable[..., DispatchWorker]) -> DispatchWorker:
    return make_worker(f"http://127.0.0.1:{process.port}", takes_uploads=True)


def order(worker: DispatchWorker, name: str, version: str = "1.0.0", source: bytes = SOURCE, **changes: Any) -> Any:
    digest = hashlib.sha256(source).hexdigest()
    values = {
        "worker": worker,
        "name": name,
        "version": version,
        "specifier": f"marketplace:{name}@{version}",
        "entry_digest": digest,
        "manifest": {"name": name, "version": version, "limits": {"deadlineMs": 1000}},
        "grants": GRANTS,
        "source": lambda: source,
        "activation": f"act_{name}_{version}",
        **changes,
    }
    return make_order(**values)


def install(
    worker: DispatchWorker, name: str, version: str = "1.0.0", source: bytes = SOURCE, **changes: Any
) -> Answer:
    asked = order(worker, name, version, source, **changes)
    adapter.deploy(asked)
    return adapter.activate(asked)


def call(
    worker: DispatchWorker, name: str, hook: str, *, source: bytes = SOURCE, event: Any = None, **changes: Any
) -> CallOutcome:
    entry = make_entry(
        name=name,
        version="1.0.0" if source == SOURCE else "2.0.0",
        worker=worker.pk,
        digest=hashlib.sha256(source).hexdigest(),
        settings={},
    )
    return adapter.call(
        entry,
        make_call(
            **{
                "id": f"inv_{name}_{time.monotonic_ns()}",
                "hook": hook,
                **changes,
                **({"event": event} if event is not None else {}),
            }
        ),
    )


def stats(worker: DispatchWorker, name: str) -> Any:
    event = {"method": "GET", "path": "/stats", "route": "/stats", "query": {}, "headers": {}, "body": None}
    return call(worker, name, "route", event=event).result["json"]


def test_it_serves_what_another_server_put_there(worker: DispatchWorker, name: str) -> None:
    """Deploy, activate, hooks and routes, without any row of this side's database."""
    notes = Notes()
    adapter.deploy(order(worker, name, note=notes))
    assert [line[0] for line in notes.lines] == ["uploaded"]
    assert adapter.activate(order(worker, name)).status == "active"
    assert call(worker, name, "content:afterSave").result == {"saves": 1, "by": "1.0.0"}
    assert call(worker, name, "content:afterSave").result == {"saves": 2, "by": "1.0.0"}
    assert stats(worker, name) == {"saves": 2, "installs": 1}


def test_nothing_is_active_before_it_is_activated(worker: DispatchWorker, name: str) -> None:
    """What is not there is pending; what is deployed and not activated answers no call."""
    assert adapter.activate(order(worker, name)).code == "worker_pending"
    adapter.deploy(order(worker, name))
    assert not call(worker, name, "content:afterSave").ok


def test_only_the_named_version_becomes_active(worker: DispatchWorker, name: str) -> None:
    """A request for a version that is not there is pending, although another version is."""
    install(worker, name)
    answer = adapter.activate(order(worker, name, "2.0.0", OTHER, action="update"))
    assert (answer.status, answer.code) == ("pending", "worker_pending")


def test_the_version_before_serves_until_the_change_is_noted(worker: DispatchWorker, name: str) -> None:
    """After an update both versions answer calls by digest; a roll back is a request and no upload."""
    install(worker, name)
    assert install(worker, name, "2.0.0", OTHER, action="update").status == "active"
    assert call(worker, name, "content:afterSave").result["by"] == "1.0.0"
    assert call(worker, name, "content:afterSave", source=OTHER).result["by"] == "2.0.0"
    back = order(worker, name, action="update", activation=f"act_{name}_back")
    assert adapter.activate(back).status == "active"
    assert stats(worker, name)["installs"] == 1


def test_outcomes_are_the_sandboxs(worker: DispatchWorker, name: str) -> None:
    """A rejection, an error and an endless loop come back as what they are, and the worker lives on."""
    install(worker, name)
    rejected = call(worker, name, "content:beforeSave")
    assert (rejected.status, rejected.error_message) == ("rejected", "No.")
    broken = call(worker, name, "user:created", event={"id": "1"})
    assert (broken.status, broken.error_name, broken.error_message) == ("trap", "TypeError", "broken")
    cron = {"schedule": "s", "cron": "* * * * *", "scheduledAt": "2026-01-01T00:00:00Z"}
    assert call(worker, name, "cron", event=cron, deadline_ms=100).status == "deadline"
    assert call(worker, name, "content:afterSave").ok


def test_this_servers_content_is_not_the_plugins(worker: DispatchWorker, name: str) -> None:
    """A grant for content is the other server's: reaching for it here is refused."""
    install(worker, name)
    outcome = call(worker, name, "content:afterDelete")
    assert not outcome.ok
    assert outcome.status in ("capability_denied", "trap")


def test_a_call_sent_twice_is_run_once(worker: DispatchWorker, name: str) -> None:
    """The same id brings the same result again; for requests at the same moment see :mod:`zelavis.worker.answers`."""
    install(worker, name)
    call_id = f"inv_{name}_same"
    results = [call(worker, name, "content:afterSave", id=call_id).result for _ in range(4)]
    assert results == [results[0]] * 4
    assert stats(worker, name)["saves"] == 1


def test_a_bad_upload_is_refused_with_the_reason(worker: DispatchWorker, name: str) -> None:
    """Code that does not load, or another digest than announced, is not deployed."""
    broken = b"export default { hooks: "
    with pytest.raises(DeployRefused, match="HTTP 422"):
        adapter.deploy(order(worker, name, source=broken))
    with pytest.raises(DeployRefused, match="digest that was announced"):
        adapter.deploy(order(worker, name, entry_digest="0" * 64))
    assert adapter.activate(order(worker, name)).status == "pending"


def test_a_handler_that_fails_keeps_it_from_being_active(worker: DispatchWorker, name: str) -> None:
    """A plugin:activate that throws ends in failed with its words."""
    source = b'export default { hooks: { "plugin:activate": () => { throw new Error("not today"); } } };'
    answer = install(worker, name, source=source)
    assert (answer.status, answer.code, answer.http_status) == ("failed", "worker_refused", 422)
    assert "not today" in answer.message


def test_an_uninstall_ends_calls_and_keeps_data(worker: DispatchWorker, name: str) -> None:
    """After the farewell nothing is called; data is there when it comes back."""
    install(worker, name)
    call(worker, name, "content:afterSave")
    leaving = order(worker, name, action="uninstall", activation=f"act_{name}_bye")
    assert adapter.activate(leaving).status == "active"
    assert not call(worker, name, "content:afterSave").ok
    assert adapter.activate(order(worker, name, activation=f"act_{name}_again")).status == "active"
    assert stats(worker, name)["saves"] == 1


def test_a_purge_leaves_nothing(worker: DispatchWorker, name: str) -> None:
    """An uninstall with purge deletes values and code over there too."""
    install(worker, name)
    call(worker, name, "content:afterSave")
    leaving = order(worker, name, action="uninstall", purge=True, activation=f"act_{name}_bye")
    assert adapter.activate(leaving).status == "active"
    assert adapter.activate(order(worker, name, activation=f"act_{name}_2")).status == "pending"
    assert install(worker, name, activation=f"act_{name}_3").status == "active"
    assert stats(worker, name) == {"saves": None, "installs": 1}


ACTIVATE = "/__zelavis/plugin/activate"


def signed(body: bytes, message_id: str, **changes: Any) -> dict[str, str]:
    return {
        "content-type": "application/json",
        **signing.sign(body, **{"key": KEY, "message_id": message_id, **changes}),
    }


def test_it_answers_as_the_seed_says(process: Worker) -> None:
    """Another path is 404, another method 405 with Allow, another body 400 in the seed's words, no key 401."""
    assert process.raw("POST", "/admin/")[0] == 404
    status, headers, _ = process.raw("GET", ACTIVATE)
    assert (status, headers["allow"]) == (405, "POST")
    for body in (b"", b"[]", b"{", b'{"pluginName":"x","action":"explode","registry":[]}', b"\xff", b'{"a":NaN}'):
        status, _, said = process.raw("POST", ACTIVATE, body, **signed(body, "act_1"))
        assert status == 400
        assert json.loads(said) == {"status": "pending", "message": "Invalid Zelavis plugin activation request."}
        for verb in ("activate", "deploy", "call", "purge"):
            assert process.raw("POST", f"/__zelavis/plugin/{verb}", body)[0] == 401


def test_a_recorded_request_changes_nothing_later(process: Worker, worker: DispatchWorker, name: str) -> None:
    """An activation recorded on the wire and sent again after the uninstall activates nothing."""
    adapter.deploy(order(worker, name))
    body = json.dumps({"pluginName": name, "action": "install", "registry": []}).encode()
    recorded = signed(body, f"act_{name}_wire")
    assert process.raw("POST", ACTIVATE, body, **recorded)[0] == 200
    assert call(worker, name, "content:afterSave").ok
    leaving = order(worker, name, action="uninstall", activation=f"act_{name}_bye")
    assert adapter.activate(leaving).status == "active"
    assert process.raw("POST", ACTIVATE, body, **recorded)[0] == 200
    assert not call(worker, name, "content:afterSave").ok


def test_a_body_that_is_too_large_is_not_read(process: Worker) -> None:
    """A body over the limit is refused by its length."""
    status, _, _ = process.raw("POST", ACTIVATE, b"", **{"content-length": str(1 << 30)})
    assert status in (400, 413)


@pytest.mark.slow
def test_it_serves_on_after_a_kill_and_forgets_no_call(
    tmp_path: Path, make_worker: Callable[..., DispatchWorker]
) -> None:
    """Killed and started again it serves the same plugins; what was signed before the start is asked to come again."""
    running = Worker(tmp_path)
    try:
        worker = make_worker(f"http://127.0.0.1:{running.port}", name="second", takes_uploads=True)
        assert install(worker, "keeper").status == "active"
        first = call(worker, "keeper", "content:afterSave", id="inv_keeper_1")
        assert first.result == {"saves": 1, "by": "1.0.0"}
        body = json.dumps({"pluginName": "keeper", "action": "install", "registry": []}).encode()
        recorded = signed(body, "act_recorded")
        running.stop()
        time.sleep(1.1)
        running.start()
        assert process_answer(running, body, recorded) == 503
        again = call(worker, "keeper", "content:afterSave", id="inv_keeper_1")
        assert again.result == first.result
        assert call(worker, "keeper", "content:afterSave").result["saves"] == 2
    finally:
        running.stop()


def process_answer(running: Worker, body: bytes, headers: dict[str, str]) -> int:
    return running.raw("POST", ACTIVATE, body, **headers)[0]


def test_it_does_not_start_without_a_secret(tmp_path: Path) -> None:
    """Without a secret anybody could put code there, so it says so and ends."""
    done = subprocess.run(
        [sys.executable, "manage.py", "plugin_worker"],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "ZELAVIS_WORKER_SECRET" in done.stderr
    assert "Traceback" not in done.stderr


def test_answers_are_kept_as_long_as_signatures_hold() -> None:
    """A final answer is repeated until no signature of its time is good any more; "not yet" is asked anew."""
    now = [1000.0]
    answers = Answers(clock=lambda: now[0])
    counted: list[int] = []

    def work() -> tuple[int, dict[str, Any]]:
        counted.append(1)
        return 200, {"n": len(counted)}

    assert answers.once("a", work, final=lambda _: False) == (200, {"n": 1})
    assert answers.once("a", work, final=lambda _: True) == (200, {"n": 2})
    assert answers.once("a", work, final=lambda _: True) == (200, {"n": 2})
    now[0] += KEEP_SECONDS + 1
    assert answers.once("a", work, final=lambda _: True) == (200, {"n": 3})
    assert answers.forgotten(999)
    assert not answers.forgotten(1000)


def test_requests_of_one_id_wait_for_each_other() -> None:
    """Eight threads with the same request do the work once and get the same answer."""
    answers, counted, told = Answers(), [], []

    def work() -> tuple[int, dict[str, Any]]:
        counted.append(1)
        time.sleep(0.05)
        return 200, {"n": len(counted)}

    threads = [
        threading.Thread(target=lambda: told.append(answers.once("a", work, final=lambda _: True))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [(200, {"n": 1})] * 8
    assert not answers._busy


@pytest.mark.django_db(transaction=True)
def test_upkeep_runs_once_an_hour_and_only_after_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old rows of the ledger go an hour after the last upkeep, when a call comes; there is no timer."""
    # The thread would see another in-memory database than the test's.
    monkeypatch.setattr(upkeep.connections, "close_all", lambda: None)
    cleaned: list[int] = []
    monkeypatch.setattr(upkeep.retention, "prune", lambda: cleaned.append(1) or {"invocations": 1})
    start = time.monotonic()
    assert upkeep.after_call(clock=lambda: start + 10) is None
    first = upkeep.after_call(clock=lambda: start + 7200)
    assert first is not None
    first.join()
    assert upkeep.after_call(clock=lambda: start + 7300) is None
    assert cleaned == [1]
    monkeypatch.setattr(upkeep, "_last", start)


def test_an_uninstall_takes_what_serves(worker: DispatchWorker, name: str) -> None:
    """Whichever version the farewell names, nothing of the plugin answers afterwards."""
    install(worker, name)
    leaving = order(worker, name, "9.9.9", action="uninstall", activation=f"act_{name}_bye")
    assert adapter.activate(leaving).status == "active"
    assert not call(worker, name, "content:afterSave").ok


# --- through the core ---------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_an_installation_goes_the_whole_way(
    process: Worker, make_worker: Callable[..., DispatchWorker], tmp_path: Path
) -> None:
    """A release, consent, upload, activation, hooks, update, roll back and uninstall, all of it over there."""
    worker = make_worker(f"http://127.0.0.1:{process.port}", takes_uploads=True)
    approved(tmp_path, name="traveller")
    with pytest.raises(errors.ConsentRequired) as asked:
        activation.install("traveller", actor="user:ann", adapter="dispatch", worker=worker)
    attempt = activation.install(
        "traveller", actor="user:ann", adapter="dispatch", worker=worker, consent=asked.value.members["consent"]
    )
    assert attempt.state == "active", attempt.message
    assert [event.step for event in attempt.events.all()][-3:] == ["uploaded", "deployed", "active"]
    page = {"collection": "flatpages.flatpage", "id": "1", "content": {"title": "About"}}
    first, second = hooks.fire("content:afterSave", page), hooks.fire("content:afterSave", page)
    assert [outcome.result for outcome in (*first.outcomes, *second.outcomes)] == [
        {"version": "1.0.0", "saves": 1},
        {"version": "1.0.0", "saves": 2},
    ]
    row = Invocation.objects.get(pk=first.outcomes[0].invocation)
    assert (row.plugin, row.status) == ("traveller", "ok")
    assert not PluginValue.objects.filter(plugin="traveller").exists()
    approved(tmp_path, name="traveller", version="1.1.0")
    assert activation.update("traveller", actor="user:ann").state == "active"
    assert hooks.fire("content:afterSave", page).outcomes[0].result == {"version": "1.1.0", "saves": 3}
    assert activation.rollback("traveller", actor="user:ann").state == "active"
    assert hooks.fire("content:afterSave", page).outcomes[0].result == {"version": "1.0.0", "saves": 4}
    gone = activation.uninstall("traveller", actor="user:ann", purge=True)
    assert gone.state == "inactive", gone.message
    assert "purged" in [event.step for event in gone.events.all()]
    assert hooks.fire("content:afterSave", page).outcomes == []


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_away_keeps_the_version_before_serving(
    process: Worker, make_worker: Callable[..., DispatchWorker], tmp_path: Path
) -> None:
    """An update that cannot reach its worker fails and changes nothing of what serves; calls say unreachable."""
    worker = make_worker(f"http://127.0.0.1:{process.port}", takes_uploads=True)
    approved(tmp_path, name="stayer")
    with pytest.raises(errors.ConsentRequired) as asked:
        activation.install("stayer", actor="user:ann", adapter="dispatch", worker=worker)
    consent = asked.value.members["consent"]
    attempt = activation.install("stayer", actor="user:ann", adapter="dispatch", worker=worker, consent=consent)
    assert attempt.state == "active", attempt.message
    approved(tmp_path, name="stayer", version="1.1.0")
    DispatchWorker.objects.filter(pk=worker.pk).update(base_url=f"http://127.0.0.1:{free_port()}")
    failed = activation.update("stayer", actor="user:ann")
    assert failed.state != "active"
    entry = registry.get("stayer")
    assert entry.serving is not None
    assert entry.serving.version == "1.0.0"
    page = {"collection": "flatpages.flatpage", "id": "1", "content": {"title": "About"}}
    assert hooks.fire("content:afterSave", page).outcomes[0].status == "unreachable"
    DispatchWorker.objects.filter(pk=worker.pk).update(base_url=f"http://127.0.0.1:{process.port}")
    assert hooks.fire("content:afterSave", page).outcomes[0].status == "ok"


@pytest.mark.django_db
def test_a_call_that_found_no_slot_runs_when_it_comes_again() -> None:
    """A busy row is not a call that ran: each delivery takes the next id, and an id that ran is answered for."""
    values = {
        "plugin": "p",
        "version": "1",
        "digest": "d",
        "hook": "cron",
        "duration_ms": 1.0,
        "created_at": timezone.now(),
    }
    assert hosting._unused_id("inv_a", 1) == ("inv_a", None)
    Invocation.objects.create(id="inv_a", status="busy", **values)
    second, known = hosting._unused_id("inv_a", 1)
    assert second != "inv_a"
    assert known is None
    Invocation.objects.create(id=second, status="ok", result="7", **values)
    assert hosting._unused_id("inv_a", 1)[0] == second
    outcome = hosting._unused_id("inv_a", 1)[1]
    assert outcome is not None
    assert (outcome.status, outcome.result) == ("ok", 7)
