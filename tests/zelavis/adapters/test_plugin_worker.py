"""What ``manage.py plugin_worker`` answers, as a process, driven by the dispatch adapter.

Its life, with kills, repeated requests and upkeep, is in test_plugin_worker_life.py.
"""

from __future__ import annotations

import json

import pytest

from tests.zelavis.adapters.conftest import Notes
from tests.zelavis.adapters.hosted import (
    ACTIVATE,
    OTHER,
    Worker,
    adapter,
    call,
    install,
    name,
    order,
    process,
    signed,
    stats,
    worker,
)
from zelavis.adapters.base import DeployRefused
from zelavis.models import DispatchWorker

__all__ = ["name", "process", "worker"]


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


def test_a_body_that_is_too_large_is_not_read(process: Worker) -> None:
    """A body over the limit is refused by its length."""
    status, _, _ = process.raw("POST", ACTIVATE, b"", **{"content-length": str(1 << 30)})
    assert status in (400, 413)


def test_an_uninstall_takes_what_serves(worker: DispatchWorker, name: str) -> None:
    """Whichever version the farewell names, nothing of the plugin answers afterwards."""
    install(worker, name)
    leaving = order(worker, name, "9.9.9", action="uninstall", activation=f"act_{name}_bye")
    assert adapter.activate(leaving).status == "active"
    assert not call(worker, name, "content:afterSave").ok
