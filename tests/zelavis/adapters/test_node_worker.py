"""The worker in ``examples/workers/node``, a second implementation of the protocol, driven by our dispatch adapter."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server import ROOT, eventually, free_port
from tests.zelavis.adapters.conftest import KEY, make_call, make_entry, make_order
from zelavis import signing
from zelavis.adapters import stopping
from zelavis.adapters.base import Answer, CallOutcome
from zelavis.adapters.dispatch import DispatchAdapter
from zelavis.models import DispatchWorker

pytestmark = pytest.mark.node
FOLDER = ROOT / "examples" / "workers" / "node"
adapter = DispatchAdapter()


class Node:
    """The worker as a process."""

    def __init__(self, data: Path, plugins: Path = FOLDER / "plugins") -> None:
        self.data, self.port, self.plugins = data, free_port(), plugins
        self.start()

    def start(self) -> None:
        node = shutil.which("node")
        assert node, "Node is not installed"
        self.process = subprocess.Popen(
            [node, "worker.mjs", "--port", str(self.port), "--data", str(self.data), "--plugins", str(self.plugins)],
            cwd=FOLDER,
            env={**os.environ, "WORKER_SECRET": KEY},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("ready on http://127.0.0.1:")

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    running = Node(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def worker(node: Node, make_worker: Callable[..., DispatchWorker]) -> DispatchWorker:
    return make_worker(f"http://127.0.0.1:{node.port}", name="greeter")


def activate(worker: DispatchWorker, action: str = "install", *, name: str = "greeter", **changes: object) -> Answer:
    specifier = f"marketplace:{name}@1.0.0"
    return adapter.activate(make_order(worker=worker, name=name, action=action, **{"specifier": specifier, **changes}))


def call(
    worker: DispatchWorker,
    hook: str,
    event: dict[str, object],
    *,
    id: str = "inv_1",  # noqa: A002
    name: str = "greeter",
) -> CallOutcome:
    return adapter.call(make_entry(name=name, worker=worker.pk), make_call(id=id, hook=hook, event=event))


def saved(title: str) -> dict[str, object]:
    return {"collection": "flatpages.flatpage", "id": "1", "content": {"title": title}}


def test_it_activates(worker: DispatchWorker) -> None:
    """The standard request is answered with a signed "active", and this side accepts the signature."""
    assert activate(worker) == Answer(status="active", message="greeter install accepted.", http_status=200)


def test_a_repeated_activation_runs_its_handlers_once(worker: DispatchWorker, node: Node) -> None:
    """The same activation's id is acted on once; another id is another activation."""
    for _ in range(3):
        assert activate(worker, activation="act_1").status == "active"
    assert json.loads((node.data / "state.json").read_text())["values"]["greeter"]["installs"] == 1
    assert activate(worker, activation="act_2").status == "active"
    assert json.loads((node.data / "state.json").read_text())["values"]["greeter"]["installs"] == 2


def test_another_version_is_pending(worker: DispatchWorker) -> None:
    """While the wanted version is not there the worker says "not yet" and why."""
    answer = activate(worker, specifier="marketplace:greeter@2.0.0")
    assert (answer.status, answer.code) == ("pending", "worker_pending")
    assert answer.message == "Version 1.0.0 is here, 2.0.0 is not yet."


def test_a_plugin_that_is_not_there_is_worker_not_found(worker: DispatchWorker) -> None:
    """404 comes through as the typed "not there yet"."""
    answer = activate(worker, name="stranger")
    assert (answer.status, answer.code) == ("pending", "worker_not_found")


def test_hooks_get_events_and_keep_state(worker: DispatchWorker) -> None:
    """after-hooks run with their event and the worker's own store; the same call id is run once."""
    activate(worker)
    assert call(worker, "content:afterSave", saved("About"), id="inv_1").result == {"saves": 1}
    assert call(worker, "content:afterSave", saved("About"), id="inv_1").result == {"saves": 1}
    assert call(worker, "content:afterSave", saved("About"), id="inv_2").result == {"saves": 2}


def test_a_before_hook_rejects_and_changes(worker: DispatchWorker) -> None:
    """A rejection and a change come back in the shape that the chain of listeners reads."""
    activate(worker)
    rejected = call(worker, "content:beforeSave", saved("LOUD NEWS"))
    assert rejected.status == "rejected"
    assert rejected.result == {"reject": {"message": "A title does not shout.", "field": "title"}}
    assert call(worker, "content:beforeSave", saved(" About "), id="inv_2").result == {"change": {"title": "About"}}


def test_routes_are_served(worker: DispatchWorker) -> None:
    """A plugin-owned route gets query and settings and answers; bytes come back as they were sent."""
    activate(worker)
    request: dict[str, object] = {
        "method": "GET",
        "path": "/hello",
        "route": "/hello",
        "query": {"name": ["Ada"]},
        "headers": {},
        "body": None,
        "public": True,
        "caller": None,
    }
    assert call(worker, "route", request).result == {"status": 200, "json": {"message": "Hello, Ada!", "saves": 0}}
    echo = {**request, "method": "POST", "path": "/echo", "route": "/echo", "body": {"base64": "AAEC/w=="}}
    assert call(worker, "route", echo, id="inv_2").result == {
        "status": 200,
        "headers": {"x-route": "/echo"},
        "base64": "AAEC/w==",
    }
    missing = {**request, "route": "/nothing"}
    assert call(worker, "route", missing, id="inv_3").error_code == "no_handler"


def test_a_plugin_that_was_never_activated_is_not_called(worker: DispatchWorker) -> None:
    """A call before "active" is refused by the worker and is not ok here."""
    outcome = call(worker, "content:afterSave", saved("About"))
    assert (outcome.status, outcome.error_code) == ("bad_answer", "worker_http_error")


def test_an_uninstall_ends_calls(worker: DispatchWorker) -> None:
    """After the farewell the plugin is not called any more; a second farewell is fine."""
    activate(worker)
    assert activate(worker, "uninstall", activation="act_2").status == "active"
    assert not call(worker, "content:afterSave", saved("About")).ok
    assert activate(worker, "uninstall", activation="act_3").status == "active"


def test_it_remembers_over_a_kill(worker: DispatchWorker, node: Node) -> None:
    """Killed and started again it serves on: what is active is kept, and so are the plugin's values."""
    activate(worker)
    call(worker, "content:afterSave", saved("About"), id="inv_1")
    node.stop()
    assert call(worker, "content:afterSave", saved("About"), id="inv_2").status == "unreachable"
    node.start()
    assert call(worker, "content:afterSave", saved("About"), id="inv_3").result == {"saves": 2}


def raw(node: Node, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=5)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


PATH = "/__zelavis/plugin/activate"


def test_it_answers_as_the_seed_says(node: Node) -> None:
    """Another path is 404, another method 405 with Allow, another body 400 with the seed's words."""
    assert raw(node, "POST", "/")[0] == 404
    status, headers, _ = raw(node, "GET", PATH)
    assert (status, headers["allow"]) == (405, "POST")
    for body in (b"", b"[]", b"{", b'{"pluginName":"greeter","action":"explode","registry":[]}', b"\xff"):
        status, _, said = raw(node, "POST", PATH, body, **signing.sign(body, key=KEY, message_id="act_1"))
        assert status == 400
        assert json.loads(said) == {"status": "pending", "message": "Invalid Zelavis plugin activation request."}


def test_it_refuses_what_is_not_signed(node: Node) -> None:
    """Unsigned, forged, changed and old requests are 401 and leave no trace."""
    body = b'{"pluginName":"greeter","action":"install","registry":[]}'
    good = signing.sign(body, key=KEY, message_id="act_1")
    assert raw(node, "POST", PATH, body)[0] == 401
    assert raw(node, "POST", PATH, body, **signing.sign(body, key="other", message_id="act_1"))[0] == 401
    assert raw(node, "POST", PATH, body + b" ", **good)[0] == 401
    assert raw(node, "POST", PATH, body, **{**good, "webhook-id": "act_2"})[0] == 401
    assert raw(node, "POST", PATH, body, **signing.sign(body, key=KEY, message_id="act_1", timestamp=1))[0] == 401
    assert not (node.data / "state.json").exists()
    assert raw(node, "POST", PATH, body, **good)[0] == 200


def test_it_signs_with_base64_keys_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whsec_ key means the same bytes on both sides."""
    secret = "whsec_c2VjcmV0IGJ5dGVzIGZvciBhIHRlc3Q="
    monkeypatch.setattr("tests.zelavis.adapters.test_node_worker.KEY", secret)
    node = Node(tmp_path)
    try:
        body = b'{"pluginName":"greeter","action":"register","registry":[]}'
        status, headers, said = raw(node, "POST", PATH, body, **signing.sign(body, key=secret, message_id="act_9"))
        assert status == 200
        assert signing.verify(said, headers, keys=[secret]) == "act_9"
    finally:
        node.stop()


SLEEPER = """
export default { hooks: { "content:afterSave": async (event, ctx) => {
  await ctx.kv.set("begun", 1);
  await new Promise((resolve) => setTimeout(resolve, 600));
  await ctx.kv.set("ended", 1);
} } };
"""


@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_stop_ends_calls_that_wait(
    tmp_path: Path, make_worker: Callable[..., DispatchWorker], withdrawn: bool
) -> None:
    """It answers the call as cancelled at once, and what runs on writes nothing; withdrawn, it is not called again."""
    plugins = tmp_path / "plugins"
    (plugins / "sleeper").mkdir(parents=True)
    (plugins / "sleeper" / "plugin.mjs").write_text(SLEEPER)
    (plugins / "sleeper" / "zelavis.plugin.json").write_text(
        json.dumps({"name": "sleeper", "version": "1.0.0", "entry": "plugin.mjs"})
    )
    node = Node(tmp_path / "data", plugins)
    try:
        worker = make_worker(f"http://127.0.0.1:{node.port}", name="sleeper")
        assert activate(worker, name="sleeper").status == "active"
        plugin = {"name": "sleeper", "version": "1.0.0"}
        body = json.dumps(
            {"id": "inv_1", "hook": "content:afterSave", "event": {}, "plugin": plugin, "deadlineMs": 5000}
        ).encode()
        told: list[bytes] = []

        def ask() -> None:
            path, signed = "/__zelavis/plugin/call", signing.sign(body, key=KEY, message_id="inv_1")
            told.append(raw(node, "POST", path, body, **signed)[2])

        asking = threading.Thread(target=ask)
        asking.start()
        values = lambda: json.loads((node.data / "state.json").read_text())["values"]  # noqa: E731
        eventually(lambda: "begun" in values().get("sleeper", {}), seconds=5, what="the call")
        began = time.monotonic()
        assert stopping.tell(worker.pk, "sleeper", digest="", withdrawn=withdrawn)
        asking.join()
        assert time.monotonic() - began < 0.5
        assert json.loads(told[0])["status"] == "cancelled"
        time.sleep(0.8)
        assert values()["sleeper"] == {"begun": 1}
        again = call(worker, "content:afterSave", saved("x"), id="inv_2", name="sleeper")
        assert again.status == ("bad_answer" if withdrawn else "ok")
    finally:
        node.stop()
