"""The ledger tells every call, with its effects, and never what a plugin could forge or hide."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.db import DatabaseError

from sandbox import batches, host, ledger, rows
from sandbox.artifact import Artifact
from sandbox.call import Call
from sandbox.limits import Limits
from sandbox.models import Invocation, PluginValue
from sandbox.outcome import Outcome
from tests.sandbox.guests import KV, call, javascript

pytestmark = pytest.mark.django_db(transaction=True)

WRITER = (
    "async (event, ctx) => { await ctx.kv.set('k', 1); if (event === 'fail') throw new Error('a\\0b'); return event; }"
)


def run(artifact: Artifact, number: int, event: Any = None, **more: Any) -> Outcome:
    """One recorded call with the database."""
    asked = Call(
        id=f"inv_{number}", plugin="ledger", version="1", hook="go", event=event, correlation="req_1", actor="tests",
        **{"seed": number, **more},
    )  # fmt: skip
    return host.execute(artifact, asked, grants=KV, limits=Limits(deadline_ms=5000))


def test_a_row_says_what_happened() -> None:
    """A good and a failed call leave a row each, with status, times, counts, texts and the source's digest."""
    artifact = javascript(WRITER)
    run(artifact, 1, {"x": "é"})
    run(artifact, 2, "fail")
    good, bad = Invocation.objects.order_by("id")
    assert (good.status, good.result, good.host_calls, good.digest) == ("ok", '{"x":"é"}', 1, artifact.digest)
    assert good.duration_ms > 0
    assert good.memory_bytes > 0
    assert (good.correlation, good.actor, good.error) == ("req_1", "tests", "")
    assert bad.status == "trap"
    assert json.loads(bad.error)["message"] == "a\0b"
    assert PluginValue.objects.count() == 1


def test_row_and_effects_stand_or_fall_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the row of a good call cannot be written, what the call wrote is not kept either, and the caller is told."""
    artifact = javascript(WRITER)

    def broken(rows: list[dict[str, Any]]) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr(rows, "insert", broken)
    outcome = run(artifact, 1)
    assert outcome.status == "host_error"
    assert "disk full" in outcome.operator_detail
    assert PluginValue.objects.count() == 0


def test_long_texts_are_cut() -> None:
    """Results and logs are kept up to a size."""
    artifact = javascript(
        "(e) => { for (let i = 0; i < 100; i++) console.log('y'.repeat(100)); return 'x'.repeat(50000); }"
    )
    run(artifact, 1)
    row = Invocation.objects.get()
    assert len(row.result) <= ledger.MOST_TEXT + 1
    assert len(row.logs) <= ledger.MOST_LOGS + 1


def test_sampling_keeps_every_failure(settings: Any) -> None:
    """With one row for ten good calls, all failures and all refusals still have theirs."""
    settings.SANDBOX_LEDGER_SAMPLE = 10
    artifact = javascript(WRITER)
    refused = javascript(
        "async (e, ctx) => { try { await ctx.http.fetch('https://example.com/'); } catch {} return 1; }"
    )
    for number in range(20):
        run(artifact, number, "fail" if number in (3, 4, 5) else None)
    run(refused, 31)
    kept = set(Invocation.objects.values_list("id", flat=True))
    assert kept == {"inv_0", "inv_10", "inv_3", "inv_4", "inv_5", "inv_31"}


def test_batches(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in batches are written together when the time has come; effects do not wait for them."""
    monkeypatch.setattr(batches, "WAIT", 3600.0)
    monkeypatch.setattr(batches, "_thread", object())
    settings.SANDBOX_LEDGER = "batched"
    batches.flush()
    artifact = javascript(WRITER)
    for number in range(5):
        assert run(artifact, number).ok
    assert Invocation.objects.count() == 0
    assert PluginValue.objects.count() == 1
    assert batches.flush() == 5
    assert Invocation.objects.count() == 5
    assert batches.flush() == 0


def test_batches_begin_when_a_thread_can_be_had(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that could not be started fails the call whole, leaves no row behind, and is started by the next one."""
    settings.SANDBOX_LEDGER = "batched"
    batches.flush()
    monkeypatch.setattr(batches, "_thread", None)

    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    artifact = javascript(WRITER)
    assert call(artifact).ok
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        assert run(artifact, 1).status == "host_error"
    assert batches.flush() == 0
    assert not PluginValue.objects.exists()
    started: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread))
    assert run(artifact, 2).ok
    assert [thread.name for thread in started] == ["sandbox-ledger"]
    assert batches.flush() == 1


def test_unrecorded_calls_leave_nothing() -> None:
    """``record=False`` writes no row and tells no observer."""
    asked = Call(id="inv_silent", plugin="ledger", version="1", hook="go")
    host.execute(javascript("() => 1"), asked, grants={}, record=False)
    assert Invocation.objects.count() == 0


def test_observers_are_told_and_cannot_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """An observer gets the call with its transcript; one that raises changes nothing for the caller."""
    told: list[host.Finished] = []

    def broken(finished: host.Finished) -> None:
        raise RuntimeError("observer")

    monkeypatch.setattr(host, "OBSERVERS", [broken, told.append])
    assert run(javascript(WRITER), 1).ok
    assert told[0].call.id == "inv_1"
    assert [one.family for one in told[0].transcript] == ["kv"]
