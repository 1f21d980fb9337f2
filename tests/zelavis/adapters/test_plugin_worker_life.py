"""The life of ``manage.py plugin_worker``: requests that come again, kills, upkeep, and the core on its other side."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from sandbox.models import Invocation, PluginValue
from tests.server import ROOT, environment, free_port
from tests.zelavis.adapters.hosted import (
    ACTIVATE,
    Worker,
    adapter,
    call,
    install,
    name,
    order,
    process,
    signed,
    worker,
)
from tests.zelavis.releases import approved
from zelavis import activation, errors, hooks, registry
from zelavis.models import DispatchWorker
from zelavis.worker import hosting, upkeep
from zelavis.worker.replays import KEEP_SECONDS, Answers

__all__ = ["name", "process", "worker"]


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
