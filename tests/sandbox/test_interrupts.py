"""Calls are ended from outside: within a tenth of a second here, within a second in another process."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured

from sandbox import host, interrupts, portable, runtime, selftest
from sandbox.artifact import Artifact
from sandbox.call import Call
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.limits import Limits
from sandbox.models import Invocation
from sandbox.outcome import Outcome
from tests.sandbox.guests import KINDS, KV, ROOT, call, javascript, trouble

LONG = {"deadline_ms": 20_000}


class Started:
    """A call on a thread of its own."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.outcome: Outcome | None = None
        self.ended_at = 0.0
        self._thread = threading.Thread(target=self._run, args=arguments, kwargs=more)
        self._thread.start()

    def _run(self, *arguments: Any, **more: Any) -> None:
        self.outcome = call(*arguments, **more)
        self.ended_at = time.monotonic()

    def result(self, seconds: float = 10) -> Outcome:
        """The outcome, when it comes in time."""
        self._thread.join(seconds)
        assert self.outcome is not None, "the call did not end"
        return self.outcome


@pytest.fixture(params=["fast", "portable"])
def way(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to run a module."""
    if request.param == "portable":
        monkeypatch.setattr(runtime, "_runtimes", {})
        monkeypatch.setattr(selftest, "verdict", lambda: selftest.Verdict(passed=False, reason="for this test"))
        assert runtime.runtime().way is portable
    return request.param


@pytest.mark.parametrize("kind", KINDS)
def test_endless_calls_of_one_plugin_end_at_once(kind: str, way: str) -> None:
    """Three endless calls of a plugin end within 0.3 s with ``cancelled``; another plugin's goes on to its deadline."""
    artifact = trouble(kind)
    call(artifact, "trouble:healthy")
    mine = [Started(artifact, "trouble:loop", plugin="mine", limits=LONG) for _ in range(3)]
    others = Started(artifact, "trouble:loop", plugin="others", limits={"deadline_ms": 900})
    time.sleep(0.3)
    asked_at = time.monotonic()
    assert interrupts.interrupt(plugin="mine", reason="withdrawn by a curator") == 3
    for one in mine:
        outcome = one.result()
        assert outcome.status == "cancelled"
        assert outcome.error is not None
        assert outcome.error.code == "cancelled"
        assert "curator" not in outcome.error.message
        assert outcome.operator_detail == "withdrawn by a curator"
        assert one.ended_at - asked_at < 0.3
        assert kind == "javascript" or "at " in outcome.error.stack
    assert others.result().status == "deadline"
    assert 900 <= others.result().duration_ms < 1200
    assert call(artifact, "trouble:healthy", plugin="mine").ok
    assert interrupts._entries == {}


def test_long_calls_have_their_whole_time() -> None:
    """A call that gets its time in slices has all of it and no more than two ticks above; its stack is still told."""
    artifact = trouble("c")
    call(artifact, "trouble:healthy")
    found = [call(artifact, "trouble:loop", limits={"deadline_ms": 350}) for _ in range(3)]
    assert {one.status for one in found} == {"deadline"}
    assert all(one.error is not None and "at " in one.error.stack for one in found)
    assert min(one.duration_ms for one in found) >= 350
    assert min(one.duration_ms for one in found) < 380
    busy = javascript("() => { let n = 0; for (let i = 0; i < 6e6; i++) n += i; return n; }")
    assert call(busy, limits=LONG).result == sum(range(6_000_000))


@pytest.mark.parametrize(
    ("by", "ended"),
    [({"plugin": "a"}, {"a1", "a2"}), ({"version": "2"}, {"a2", "b2"}), ({"plugin": "a", "version": "1"}, {"a1"})],
    ids=["plugin", "version", "both"],
)
def test_who_is_meant(by: dict[str, str], ended: set[str]) -> None:
    """Plugin, version and digest narrow each other; what is not meant runs on."""
    artifact = trouble("c")
    running = {
        plugin + version: Started(artifact, "trouble:loop", plugin=plugin, version=version, limits={"deadline_ms": 700})
        for plugin in "ab"
        for version in "12"
    }
    time.sleep(0.2)
    assert interrupts.interrupt(reason="test", **by) == len(ended)
    assert interrupts.interrupt(reason="test", digest="0" * 64) == 0
    found = {name: one.result().status for name, one in running.items()}
    assert {name for name, status in found.items() if status == "cancelled"} == ended
    assert {status for name, status in found.items() if name not in ended} == {"deadline"}


def test_something_must_be_named() -> None:
    """An interruption of everything by mistake is refused."""
    with pytest.raises(ValueError, match="name a plugin"):
        interrupts.interrupt(reason="test")


def test_nothing_of_an_interrupted_call_is_stored() -> None:
    """A call that comes to a good end after it was interrupted is ``cancelled`` all the same, and wrote nothing."""
    artifact = javascript(
        """async (event, ctx) => {
             await ctx.kv.set("k", 1);
             let n = 0; for (let i = 0; i < 2e6; i++) n += i;
             return n;
           }"""
    )
    backend = MemoryBackend()
    # Below one slice: nobody looks at it before its end.
    started = Started(artifact, backend=backend, limits={"deadline_ms": 100})
    while not interrupts._entries:
        time.sleep(0.001)
    interrupts.interrupt(plugin="guest", reason="test")
    assert started.result().status == "cancelled"
    reader = javascript('(event, ctx) => ctx.kv.get("k")')
    assert call(reader, backend=backend).result is None


def test_a_call_that_waits_for_a_slot_never_begins(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is interrupted while it waits for a slot ends without having run."""
    settings.SANDBOX_SLOTS = 1
    monkeypatch.setattr(runtime, "_runtimes", {})
    artifact = trouble("c")
    first = Started(artifact, "trouble:loop", plugin="first", limits={"deadline_ms": 1500})
    time.sleep(0.2)
    second = Started(artifact, "trouble:healthy", plugin="second", limits=LONG)
    time.sleep(0.2)
    asked_at = time.monotonic()
    interrupts.interrupt(plugin="second", reason="test")
    assert second.result().status == "cancelled"
    assert second.ended_at - asked_at < 0.5
    assert first.result().status == "deadline"


# -- calls that wait in the host ------------------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a server whose queue is full: connecting to it hangs."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.settimeout(0)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        select.select([], waiting, [], 0.2)
        yield port
        for one in waiting:
            one.close()


FETCH = """async (event, ctx) => {
  try { await ctx.http.fetch(event, { timeoutMs: 30000 }); } catch (error) { }
  for (;;);
}"""


@pytest.mark.parametrize("where", ["silent", "full"])
def test_a_request_is_cut_off(where: str, request: Any, settings: Any) -> None:
    """A call that waits for an answer, or for a connection, ends within 0.3 s, although both have 30 s."""
    port = request.getfixturevalue(where)
    settings.SANDBOX_LOOPBACK_HOSTS = [f"localhost:{port}"]
    url = f"http://localhost:{port}"
    grants = {"http": {"reason": "tests", "hosts": [url], "timeoutMs": 30_000}}
    started = Started(javascript(FETCH), event=url, grants=grants, limits={"deadline_ms": 30_000})
    time.sleep(0.5)
    asked_at = time.monotonic()
    assert interrupts.interrupt(plugin="guest", reason="test") == 1
    assert started.result().status == "cancelled"
    assert started.ended_at - asked_at < 0.4


def test_a_wait_for_a_record_is_cut_off() -> None:
    """A call that waits for a record which another call holds ends at once."""
    grants = {"object": {"reason": "tests"}}
    backend = MemoryBackend()
    holder = javascript('async (event, ctx) => { await ctx.object.put("k", 1); for (;;); }')
    waiter = javascript('async (event, ctx) => { await ctx.object.get("k"); return 1; }')
    held = Started(holder, grants=grants, backend=backend, version="holder", limits={"deadline_ms": 2000})
    time.sleep(0.2)
    waits = Started(waiter, grants=grants, backend=backend, version="waiter", limits=LONG)
    time.sleep(0.2)
    asked_at = time.monotonic()
    assert interrupts.interrupt(version="waiter", reason="test") == 1
    assert waits.result().status == "cancelled"
    assert waits.ended_at - asked_at < 0.3
    assert held.result().status == "deadline"


# -- the watches: other processes ------------------------------------------------------------------------------------


def _recorded(artifact: Artifact, name: str, *, deadline_ms: int = 20_000) -> Outcome:
    return host.execute(
        artifact,
        Call(id=name, plugin="guest", version="1.0.0", hook="trouble:loop"),
        grants=KV,
        limits=Limits(deadline_ms=deadline_ms),
        backend=MemoryBackend(),
    )


@pytest.mark.django_db(transaction=True)
def test_a_watch_ends_a_call_and_the_ledger_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch is told who runs since when, and who it names ends with ``cancelled`` and its reason in the ledger."""
    told: list[interrupts.Running] = []

    def watch(running: Sequence[interrupts.Running]) -> Mapping[str, str]:
        told.extend(running)
        return {one.id: "the release was quarantined" for one in running if one.id == "inv_meant"}

    monkeypatch.setattr(interrupts, "WATCHES", [watch])
    artifact = trouble("c")
    outcome = _recorded(artifact, "inv_meant")
    assert outcome.status == "cancelled"
    assert outcome.duration_ms < 1000
    row = Invocation.objects.get(id="inv_meant")
    assert (row.status, row.operator_detail) == ("cancelled", "the release was quarantined")
    assert (told[0].plugin, told[0].version, told[0].digest) == ("guest", "1.0.0", artifact.digest)
    assert abs(told[0].started_at.timestamp() - row.created_at.timestamp()) < 1
    assert _recorded(artifact, "inv_other", deadline_ms=400).status == "deadline"


def test_short_and_unrecorded_calls_ask_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that are over in a tenth of a second, and tries that nobody records, never lead to a question."""
    asked: list[Any] = []
    monkeypatch.setattr(interrupts, "WATCHES", [lambda running: asked.append(running) or {}])
    monkeypatch.setattr(host.ledger, "write", lambda *arguments: None)
    artifact = trouble("c")
    for _ in range(50):
        assert call(artifact, "trouble:healthy").ok
    assert call(artifact, "trouble:loop", limits={"deadline_ms": 500}).status == "deadline"
    assert _recorded(artifact, "inv_short", deadline_ms=90).status == "deadline"
    time.sleep(0.4)
    assert asked == []


def test_a_watch_that_fails_is_asked_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A watch whose database is away breaks nothing: it is logged and asked again."""
    answers = iter([OSError("away"), {"inv_again": "now"}])

    def watch(running: Sequence[interrupts.Running]) -> Mapping[str, str]:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(interrupts, "WATCHES", [watch])
    monkeypatch.setattr(host.ledger, "write", lambda *arguments: None)
    assert _recorded(trouble("c"), "inv_again").status == "cancelled"
    assert "nobody could say" in caplog.text


PROCESS = """
import json, sys, threading, time
from pathlib import Path
import django
django.setup()
from sandbox import compiler, host, interrupts, ledger
from sandbox.call import Call
from sandbox.capabilities import registry
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.limits import Limits
registry.REVOCATIONS.clear()
ledger.write = lambda *arguments: None
kills = Path(sys.argv[1])
def watch(running):
    forbidden = kills.read_text().split() if kills.exists() else []
    return {one.id: "killed" for one in running if one.plugin in forbidden}
interrupts.WATCHES[:] = [watch]
source = Path("examples/plugins/hostile-loop/plugin.mjs").read_bytes()
artifact = compiler.deploy(source, kind="javascript")
hook = artifact.hooks[0]
found = []
def run(number):
    outcome = host.execute(artifact, Call(id=f"inv_{number}", plugin="hostile-loop", version="1.0.0", hook=hook),
                           grants={}, limits=Limits(deadline_ms=60_000), backend=MemoryBackend())
    found.append([outcome.status, time.time()])
threads = [threading.Thread(target=run, args=(n,)) for n in range(2)]
for one in threads: one.start()
time.sleep(0.5)
print("running", flush=True)
for one in threads: one.join()
print(json.dumps(found))
"""


def test_a_loop_in_another_process_ends_within_a_second(tmp_path: Path) -> None:
    """A hostile plugin that loops twice in another process ends there within a second of the word in common storage."""
    kills = tmp_path / "kills"
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(kills)],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "zelavis.settings", "ZELAVIS_DATA_DIR": str(configured.DATA_DIR)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        killed_at = time.time()
        kills.write_text("hostile-loop")
        told, problems = process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, problems
    for status, ended_at in json.loads(told):
        assert status == "cancelled"
        assert ended_at - killed_at < 1


def test_a_forked_child_has_its_own_watch() -> None:
    """After a fork in the middle of a watched call the child ends its own calls by its own watch."""
    from tests.sandbox.test_processes import process

    assert process(
        """
from sandbox import host, interrupts, ledger
from sandbox.call import Call
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.limits import Limits
ledger.write = lambda *arguments: None
interrupts.WATCHES[:] = [lambda running: {one.id: "killed" for one in running if one.id == f"inv_{os.getpid()}"}]
def go(name, ms):
    call = Call(id=name, plugin="guest", version="1", hook="trouble:loop")
    return host.execute(raw, call, grants={}, limits=Limits(deadline_ms=ms), backend=MemoryBackend()).status
other = threading.Thread(target=go, args=("inv_parent", 1500))
other.start()
time.sleep(0.4)
reader, writer = os.pipe()
if os.fork() == 0:
    started = time.monotonic()
    os.write(writer, json.dumps([go(f"inv_{os.getpid()}", 20000), time.monotonic() - started]).encode())
    os._exit(0)
status, taken = json.loads(os.read(reader, 1000))
other.join()
print(json.dumps([status, taken < 5, go(f"inv_{os.getpid()}", 20000)]))
"""
    ) == ["cancelled", True, "cancelled"]
