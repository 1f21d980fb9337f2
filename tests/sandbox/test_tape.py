"""Tapes: recorded calls that run again to the same bytes."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from sandbox import compiler, host, tape
from sandbox.artifact import Artifact
from sandbox.call import Call
from sandbox.limits import Limits
from sandbox.models import Tape

pytestmark = pytest.mark.django_db

SOURCE = b"""
export default { hooks: {
  count: async (event, ctx) => {
    ctx.log.info("counting", event);
    const n = (await ctx.kv.get("n")) ?? 0;
    await ctx.kv.set("n", n + 1);
    const bytes = await ctx.crypto.randomBytes(4);
    let denied = "";
    try { await ctx.users.get(1); } catch (error) { denied = error.code; }
    return { n: n + 1, at: Date.now(), r: Math.random(), b: [...bytes], denied };
  },
  fail: async (event, ctx) => { await ctx.kv.increment("n"); throw new TypeError("no " + ctx.settings.apiKey); },
} };
"""
NEXT = SOURCE.replace(b"n: n + 1, at", b"n: n + 2, at")
OTHER = SOURCE.replace(b'get("n")', b'get("m")')
GRANTS = {"kv": {"reason": "t"}}


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return compiler.deploy(SOURCE, kind="javascript")


def call(hook: str = "count", **more: Any) -> Call:
    return Call(id="inv_t", plugin="one", version="1.0.0", hook=hook, event={"a": 1}, **more)


def run(artifact: Artifact, one: Call) -> Any:
    # The database of a test has no room for a deadline: loaded machines are slow.
    return host.execute(artifact, one, grants=GRANTS, limits=Limits(deadline_ms=5000))


def test_a_failed_call_is_recorded(artifact: Artifact) -> None:
    """A call that fails leaves a tape; one that is fine leaves none unless it is in the sample."""
    run(artifact, call())
    assert not Tape.objects.exists()
    outcome = run(artifact, dataclasses.replace(call("fail"), id="inv_f"))
    assert outcome.status == "trap"
    kept = Tape.objects.get()
    assert (kept.reason, kept.hook, kept.digest) == ("failure", "fail", artifact.digest)


def test_replay_gives_the_same_bytes(artifact: Artifact, settings: Any) -> None:
    """The same artifact on its tape gives the same outcome, host calls, randomness and clock included."""
    settings.SANDBOX_TAPE_SAMPLE = 1.0
    outcome = run(artifact, call())
    assert outcome.result["denied"] == "capability_denied"
    run(artifact, dataclasses.replace(call(), id="inv_u"))
    played = tape.replay(tape.get("inv_t"))
    assert played.diff == ""
    assert played.same
    assert played.notes == ()
    assert json.dumps(tape.told(played.outcome)) == json.dumps(tape.told(outcome))


def test_replay_stores_nothing(artifact: Artifact, settings: Any) -> None:
    """A replay writes no value and no ledger row."""
    from sandbox.models import Invocation, PluginValue

    settings.SANDBOX_TAPE_SAMPLE = 1.0
    run(artifact, call())
    PluginValue.objects.all().delete()
    tape.replay(tape.get("inv_t"))
    assert not PluginValue.objects.exists()
    assert Invocation.objects.count() == 1


def test_replay_against_another_release_shows_the_difference(artifact: Artifact, settings: Any) -> None:
    """Another release on the tape gives a diff with the member that changed, and says which artifacts they were."""
    settings.SANDBOX_TAPE_SAMPLE = 1.0
    run(artifact, call())
    played = tape.replay(tape.get("inv_t"), artifact=compiler.deploy(NEXT, kind="javascript"))
    assert not played.same
    assert '-  "n": 1,' in played.diff
    assert '+  "n": 2,' in played.diff
    assert "another artifact" in played.notes[0]
    other = tape.replay(tape.get("inv_t"), artifact=compiler.deploy(OTHER, kind="javascript"))
    assert "1 host calls are not on the tape" in other.notes
    assert other.outcome.error is not None
    assert other.outcome.error.code == "not_on_tape"


def test_i04_secrets_are_redacted(artifact: Artifact) -> None:
    """I04: members of event and settings that are named like secrets are not on the tape, and the replay says so."""
    one = dataclasses.replace(
        call("fail", settings={"apiKey": "hunter2", "colour": "red"}), event={"user": {"password": "hunter2", "id": 3}}
    )
    host.execute(artifact, one, grants={}, limits=Limits(deadline_ms=5000))
    body = tape.get("inv_t")
    kept = tape.read(body)["call"]
    assert kept["event"] == {"user": {"password": "[redacted]", "id": 3}}
    assert kept["settings"] == {"apiKey": "[redacted]", "colour": "red"}
    assert "2 members were redacted" in " ".join(tape.replay(body).notes)


def test_i04_settings_that_the_host_hides_are_on_no_tape(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """I04: a setting that its schema calls secret is not on the tape, whatever its name; each counts once."""
    monkeypatch.setattr(tape, "HIDDEN_SETTINGS", [lambda plugin: frozenset({"pin", "apiKey", "other"})])
    run(artifact, call("fail", settings={"apiKey": "hunter2", "pin": 4711, "colour": "red"}))
    body = tape.get("inv_t")
    assert tape.read(body)["call"]["settings"] == {"apiKey": "[redacted]", "pin": "[redacted]", "colour": "red"}
    assert "4711" not in body
    assert "2 members were redacted" in " ".join(tape.replay(body).notes)


def test_i03_another_engine_is_labelled(artifact: Artifact) -> None:
    """I03: a tape of another engine version replays and says so."""
    run(artifact, call("fail"))
    body = tape.get("inv_t").replace(tape.engine(), "wasmtime 1.0.0")
    played = tape.replay(body)
    assert played.same
    assert "another engine" in played.notes[0]


@pytest.mark.parametrize("body", ["", "{}", "[1]", "null", '{"format":2}', "x", '{"format":1,"engine":"x"}'])
def test_what_is_no_tape_is_refused(body: str) -> None:
    """Text that is no tape raises tape_unreadable, a name that is none tape_not_found."""
    with pytest.raises(tape.TapeUnreadable):
        tape.replay(body)
    with pytest.raises(tape.TapeNotFound):
        tape.get("inv_none")


def test_a_plugin_that_always_fails_fills_no_disk(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures of one plugin are kept up to a number an hour."""
    monkeypatch.setattr(tape, "MOST_FAILURES_AN_HOUR", 2)
    for number in range(4):
        run(artifact, dataclasses.replace(call("fail"), id=f"inv_{number}"))
    assert Tape.objects.count() == 2


def test_retention_deletes_what_is_over(artifact: Artifact) -> None:
    """Ledger rows, tapes and expired values go when their time is over, and usage goes down with them."""
    from datetime import timedelta

    from django.utils import timezone

    from sandbox import retention
    from sandbox.capabilities.backends.database import DatabaseBackend
    from sandbox.models import Invocation
    from tests.sandbox.capabilities.harness import NOW, ask, make

    run(artifact, call("fail"))
    session = make(backend=DatabaseBackend())
    ask(session, "kv", "set", "a", 1, {"ttlSeconds": 5})
    session.commit()
    assert retention.prune(now=timezone.now())["tapes"] == 0
    counts = retention.prune(now=timezone.now() + timedelta(days=31))
    assert (counts["tapes"], counts["invocations"]) == (1, 1)
    assert DatabaseBackend().usage("one", "kv")[0] == 0
    assert not Invocation.objects.exists()
    assert NOW


@pytest.mark.parametrize("caught", [True, False])
def test_what_the_host_could_not_do_is_noted(monkeypatch: pytest.MonkeyPatch, caught: bool) -> None:
    """A call that failed because its host did is not blamed on the plugin: the replay says why it may differ."""
    source = "async (e, ctx) => { await ctx.kv.get('a')" + (".catch(() => 0)" if caught else "") + "; }"
    one = compiler.deploy(f"export default {{ hooks: {{ count: {source} }} }};".encode(), kind="javascript")

    def broken(*args: Any, **named: Any) -> Any:
        raise RuntimeError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr("sandbox.capabilities.backends.values.DatabaseValues.get", broken)
        assert run(one, call()).status == "host_error"
    replayed = tape.replay(Tape.objects.get().body)
    assert not replayed.same
    assert any("host" in note for note in replayed.notes), replayed.notes


@pytest.mark.parametrize(
    "spoil",
    [
        {"call": {}}, {"call": []}, {"artifact": None}, {"outcome": "x"}, {"outcome": {"error": []}}, {"limits": []},
        {"limits": {"deadline_ms": "1"}}, {"hostCalls": [{}]}, {"hostCalls": 1}, {"hostCalls": ["x"]}, {"grants": []},
        {"call": {"seed": "x"}}, {"call": {"nowMs": "x"}}, {"call": {"settings": 1}},
        {"hostCalls": [{"family": "kv", "op": "get", "refused": False, "requestBase64": "x", "answer": ""}]},
    ],
    ids=str,
)  # fmt: skip
def test_a_tape_that_somebody_changed_is_refused(artifact: Artifact, spoil: dict[str, Any]) -> None:
    """A tape comes from a file: members of the wrong kind are an error that says so, and nothing runs."""
    run(artifact, dataclasses.replace(call("fail"), id="inv_f"))
    body = json.loads(Tape.objects.get().body)
    for member, value in spoil.items():
        keep = isinstance(body[member], dict) and isinstance(value, dict) and value
        body[member] = {**body[member], **value} if keep else value
    with pytest.raises(tape.TapeUnreadable):
        tape.replay(json.dumps(body))
