"""Signals, forks, threads and the other way to run: what a server does to a process must not break the sandbox.

Each case runs in a process of its own, because the wrong answer is a dead one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import types
from typing import Any

import pytest
from django.conf import settings

from sandbox import fast, portable, runtime, selftest
from tests.sandbox.guests import KINDS, ROOT, call, trouble
from tests.sandbox.test_limits import TRIPS

PRELUDE = """
import json, os, sys, threading, time
import django
django.setup()
from sandbox import runtime
from sandbox.capabilities import registry
from tests.sandbox.guests import call, trouble
registry.REVOCATIONS.clear()
artifact = trouble("javascript")
raw = trouble("assemblyscript")
def loop(ms=60, what=None):
    return call(what or artifact, "trouble:loop", limits={"deadline_ms": ms})
def healthy():
    return call(artifact, "trouble:healthy").result == "healthy" and call(raw, "trouble:healthy").result == "healthy"
def traps():
    return [call(raw, f"trouble:{word}").error.code for word in ("trap", "recurse", "divide")]
TRAPS = ["unreachable", "stack_overflow", "integer_division_by_zero"]
"""


def process(body: str, **environment: str) -> Any:
    """Run ``body`` after the prelude in a new interpreter; its last line is a JSON answer."""
    ended = subprocess.run(
        [sys.executable, "-c", PRELUDE + body],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "DJANGO_SETTINGS_MODULE": "zelavis.settings",
            "ZELAVIS_DATA_DIR": str(settings.DATA_DIR),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, f"ended with {ended.returncode}: {ended.stderr[-2000:]}"
    return json.loads(ended.stdout.splitlines()[-1])


def test_after_a_fork_deadlines_hold() -> None:
    """Four workers forked from a warm parent, as gunicorn and Celery's prefork pool do, stop loops in time."""
    found = process(
        """
assert healthy() and loop().status == "deadline"
readers = []
for _ in range(4):
    reader, writer = os.pipe()
    if os.fork() == 0:
        started = time.monotonic()
        first = loop().status
        taken = time.monotonic() - started
        fine = healthy() and traps() == TRAPS and loop().status == "deadline"
        from sandbox import compiler
        fresh = compiler.deploy(b"export default { hooks: { go: () => %d } };" % os.getpid(), kind="javascript")
        fine = fine and call(fresh).result == os.getpid()
        os.write(writer, json.dumps([first, taken, fine]).encode())
        os._exit(0)
    os.close(writer)
    readers.append(reader)
print(json.dumps([json.loads(os.read(reader, 1000)) for reader in readers]))
"""
    )
    assert len(found) == 4
    for status, taken, fine in found:
        assert status == "deadline"
        assert taken < 3
        assert fine


def test_forked_while_another_thread_is_in_a_call() -> None:
    """A fork in the middle of another thread's call leaves the child able to run: it has an engine of its own."""
    assert process(
        """
assert healthy()
other = threading.Thread(target=loop, args=(800,))
other.start()
time.sleep(0.1)
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, json.dumps([healthy(), loop().status]).encode())
    os._exit(0)
found = json.loads(os.read(reader, 1000))
other.join()
print(json.dumps([*found, healthy()]))
"""
    ) == [True, "deadline", True]


@pytest.mark.parametrize("library", ["multiprocessing", "billiard"])
def test_workers_of_a_pool(library: str) -> None:
    """Workers of multiprocessing, and of billiard, whose pool is Celery's prefork, run plugins side by side."""
    found = process(
        f"""
import {library} as library
assert healthy()
def work(_):
    return healthy() and traps() == TRAPS and loop().status == "deadline"
with library.get_context("fork").Pool(2) as pool:
    print(json.dumps(pool.map(work, range(4))))
"""
    )
    assert found == [True] * 4


@pytest.mark.parametrize("replaced", ["threading", "socket"])
def test_green_threads_are_refused(monkeypatch: pytest.MonkeyPatch, replaced: str) -> None:
    """Where gevent has replaced what waits, early or late, calls end as ``host_error`` with the reason; none runs."""
    artifact = trouble("c")
    assert call(artifact, "trouble:healthy").ok
    patched = types.ModuleType("gevent.monkey")
    patched.is_module_patched = lambda name: name == replaced  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gevent.monkey", patched)
    for _ in range(2):
        outcome = call(artifact, "trouble:healthy")
        assert outcome.status == "host_error"
        assert f"gevent or eventlet has replaced {replaced}" in outcome.operator_detail
        monkeypatch.setattr(runtime, "_runtimes", {})
    patched.is_module_patched = lambda name: False  # type: ignore[attr-defined]
    assert call(artifact, "trouble:healthy").ok


@pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed; nothing needs it")
@pytest.mark.parametrize("patch", ["patch_all()", "patch_all(thread=False)", "patch_socket()"])
def test_the_real_gevent_is_refused(patch: str) -> None:
    """A process under gevent's own patches gives ``host_error`` and lives."""
    found = process(
        f"""
from gevent import monkey
monkey.{patch}
outcome = call(trouble("c"), "trouble:healthy")
print(json.dumps([outcome.status, "gevent" in outcome.operator_detail]))
""",
        PYTHONPATH=os.pathsep.join(sys.path),
    )
    assert found == ["host_error", True]


@pytest.mark.parametrize("when", ["before", "after", "after-a-trap"])
def test_faulthandler_cannot_kill_the_process(when: str) -> None:
    """Enabled before the engine or after it, faulthandler leaves traps as outcomes and the process alive."""
    assert (
        process(
            f"""
import faulthandler
when = {when!r}
if when == "before": faulthandler.enable()
assert healthy()
if when == "after-a-trap": assert traps() == TRAPS
if when != "before": faulthandler.enable()
print(json.dumps([traps() == TRAPS, healthy(), traps() == TRAPS, healthy()]))
"""
        )
        == [True] * 4
    )


def test_faulthandler_switched_off_is_refused() -> None:
    """Disabled after the engine was made, it took the engine's handlers away: every call is refused, none crashes."""
    assert process(
        """
import faulthandler
faulthandler.enable()
assert healthy()
faulthandler.disable()
outcome = call(raw, "trouble:trap")
print(json.dumps([outcome.status, "faulthandler" in outcome.operator_detail]))
"""
    ) == ["host_error", True]


@pytest.mark.parametrize("switch", ["enable", "disable"])
def test_hardened_does_not_care_about_signals(switch: str) -> None:
    """With explicit checks instead of signals, faulthandler may come and go; every trap is still an outcome."""
    assert process(
        f"""
import faulthandler
if {switch!r} == "disable": faulthandler.enable()
assert healthy()
faulthandler.{switch}()
print(json.dumps([traps() == TRAPS, healthy(), runtime.runtime().profile.hardened]))
""",
        ZELAVIS_SANDBOX_HARDENED="true",
    ) == [True, True, True]


def test_a_small_thread_stack_is_noticed() -> None:
    """On a thread with less stack than a guest may use, deep recursion is a trap and not the end of the process."""
    assert process(
        """
assert healthy()
found = []
threading.stack_size(1024 * 1024)
thread = threading.Thread(target=lambda: found.extend([healthy(), traps() == TRAPS,
                                                       call(artifact, "trouble:recurse").error.code,
                                                       call(raw, "trouble:host").result]))
thread.start()
thread.join()
print(json.dumps(found))
"""
    ) == [True, True, "stack_overflow", "done"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_public_interface_gives_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the fast path may not serve, every limit ends a call with the same status and code."""
    expected = {word: call(trouble(kind), f"trouble:{word}", limits=limits) for word, _, limits in TRIPS}
    monkeypatch.setattr(runtime, "_runtimes", {})
    monkeypatch.setattr(selftest, "verdict", lambda: selftest.Verdict(passed=False, reason="for this test"))
    assert runtime.runtime().way is portable
    for word, status, limits in TRIPS:
        outcome = call(trouble(kind), f"trouble:{word}", limits=limits)
        assert outcome.error is not None
        told = expected[word].error
        assert told is not None
        if word != "loop":
            assert (outcome.status, outcome.error.code, outcome.error.name) == (status, told.code, told.name)
    flood = call(trouble(kind), "trouble:host", limits={"host_calls": 5, "deadline_ms": 5000})
    assert (flood.result, flood.host_calls) == ("done", 1000)
    assert call(trouble(kind), "trouble:keep").result == call(trouble(kind), "trouble:keep").result == "fresh"
    if kind != "javascript":
        for word in ("pointer", "end", "flat", "divide"):
            assert call(trouble(kind), f"trouble:{word}").status == "trap"


def test_a_busy_machine_keeps_the_fast_path() -> None:
    """The self-test passes where every case takes a thousand times as many ticks, as on a machine that is elsewhere.

    It once gave each case 20 ms, and a process that began on a busy machine ran plugins the slow way for its life.
    """
    hurried = "from sandbox import selftest_child, ticker; ticker._STEP /= 500; selftest_child.main('plain')"
    ended = subprocess.run([sys.executable, "-c", hurried], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("passed\n", "")


def test_the_fast_path_serves_here() -> None:
    """On the tested version the self-test passes and the fast path is in use."""
    assert selftest.run(hardened=False) == selftest.Verdict(passed=True)
    assert selftest.run(hardened=True) == selftest.Verdict(passed=True)
    assert runtime.runtime().way is fast
