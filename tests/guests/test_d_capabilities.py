"""Row D of the hostile matrix, and I04 to I07, through real guests; the rest is in tests/sandbox/capabilities."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from sandbox import compiler, host
from sandbox.call import Call
from sandbox.capabilities import registry
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.limits import Limits
from sandbox.outcome import Outcome

SECRET = "s3cret-value-0123456789"
SOURCE = b"""
const probe = async (f) => { try { return [await f()]; } catch (e) { return e.code ?? e.name; } };
export default { hooks: {
  all: async (event, ctx) => {
    const found = {};
    for (const [space, name, ...args] of event)
      found[`${space}.${name}`] = await probe(() => ctx[space][name](...args));
    return found;
  },
  uncaught: (event, ctx) => ctx.kv.get("a"),
  slow: async (event, ctx) => {
    const first = await probe(() => ctx.kv.get("a"));
    for (let end = 0; end < 3e6; end++);
    return [first, await probe(() => ctx.kv.get("a"))];
  },
  secret: async (event, ctx) => {
    const told = await probe(() => ctx.http.fetch(event.url, { secret: "key" }));
    const seen = JSON.stringify([told, await ctx.secrets.list(), Object.keys(ctx), ctx.settings, event]);
    ctx.log.info(seen);
    return seen;
  },
} };
"""
EVERYTHING = [
    ["kv", "get", "a"], ["documents", "get", "c", "a"], ["blobs", "get", "a"], ["object", "get", "a"],
    ["http", "fetch", "https://example.com/"], ["content", "get", "c", "1"], ["content", "create", "c", {"a": 1}],
    ["users", "get", "1"], ["email", "send", {}], ["secrets", "list"], ["schedule", "list"],
]  # fmt: skip


def run(hook: str, event: Any, grants: Any, backend: Any = None, **limits: Any) -> Outcome:
    """One call with plenty of time."""
    artifact = compiler.deploy(SOURCE, kind="javascript")
    call = Call(id="inv_d", plugin="one", version="1.0.0", hook=hook, event=event, seed=1, now_ms=1_760_000_000_000)
    return host.execute(
        artifact,
        call,
        grants=grants,
        limits=Limits(**{"deadline_ms": 10_000, **limits}),
        backend=backend or MemoryBackend(),
        record=False,
    )


def test_d01_nothing_without_a_grant() -> None:
    """D01: a plugin without grants can ask for everything and gets capability_denied, each one counted."""
    outcome = run("all", EVERYTHING, {})
    assert set(outcome.result.values()) == {"capability_denied"}
    assert len(outcome.result) == len(EVERYTHING)
    assert [one.code for one in outcome.refusals] == ["capability_denied"] * len(EVERYTHING)


def test_d01_a_denied_call_that_is_not_caught_has_its_own_outcome() -> None:
    """D01: the outcome of a plugin that does not catch the denial is capability_denied, and the next call is fine."""
    assert run("uncaught", None, {}).status == "capability_denied"
    assert run("uncaught", None, {"kv": {"reason": "t"}}).status == "ok"


def test_d02_a_revocation_reaches_a_running_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """D02: a grant taken while the plugin computes is gone at its next host call."""
    began = time.monotonic()
    monkeypatch.setattr(registry, "REVOCATIONS", [lambda call: {"kv"} if time.monotonic() - began > 0 else set()])
    monkeypatch.setattr("sandbox.capabilities.session.REVOCATION_EVERY", 0.02)
    outcome = run("slow", None, {"kv": {"reason": "t"}})
    assert outcome.result == [[None], "capability_denied"]


def test_d05_a_secret_never_enters_the_guest() -> None:
    """D05: neither what the guest can see nor its log nor its refusals hold the value of a secret."""
    backend = MemoryBackend()
    backend.rest.secrets["one", "key"] = SECRET
    bound = {"key": {"host": "api.example.com"}}
    grants = {
        "http": {"reason": "t", "hosts": ["other.example.com"]},
        "secrets": {"reason": "t", "names": bound},
    }
    outcome = run("secret", {"url": "https://other.example.com/"}, grants, backend)
    assert "secret_refused" in outcome.result
    assert SECRET not in repr(outcome)


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://127.0.0.1:8000/", "http://[::1]/", "file:///etc"])
def test_e01_to_e03_a_guest_cannot_reach_inside(url: str) -> None:
    """E01–E03: a guest that asks for an inner address gets a typed refusal that it can catch."""
    outcome = run("all", [["http", "fetch", url]], {"http": {"reason": "t", "hosts": ["example.com"]}})
    assert outcome.result["http.fetch"] in ("host_refused", "invalid_url")


def test_i05_errors_do_not_tell_what_others_have() -> None:
    """I05: asking for a key that another plugin has and for one that nobody has gives the same answer."""
    backend = MemoryBackend()
    session_call = Call(id="inv_x", plugin="two", version="1.0.0", hook="all", event=[["kv", "set", "theirs", 1]])
    artifact = compiler.deploy(SOURCE, kind="javascript")
    grants = {"kv": {"reason": "t"}}
    host.execute(
        artifact, session_call, grants=grants, limits=Limits(deadline_ms=10_000), backend=backend, record=False
    )
    outcome = run("all", [["kv", "get", "theirs"]], grants, backend)
    again = run("all", [["kv", "get", "nobodys"]], grants, backend)
    assert outcome.result == again.result == {"kv.get": [None]}


def test_i07_a_plugin_chooses_no_name_of_a_figure() -> None:
    """I07: whatever a plugin asks for, capability and code of a refusal come from a fixed list."""
    known = {capability.name for capability in registry.all_capabilities()}
    outcome = run("all", [["kv", "get", f"key-{number}"] for number in range(60)], {})
    assert {one.capability for one in outcome.refusals} <= known
    assert {one.code for one in outcome.refusals} <= {"capability_denied", "host_calls_exceeded"}
    assert len(outcome.refusals) <= 100


def test_i04_a_tape_holds_no_secret() -> None:
    """I04: the tape of a call that used a secret does not hold it."""
    from sandbox import tape
    from sandbox.host import Finished

    backend = MemoryBackend()
    backend.rest.secrets["one", "key"] = SECRET
    grants = {
        "http": {"reason": "t", "hosts": ["api.invalid"]},
        "secrets": {"reason": "t", "names": {"key": {"host": "api.invalid"}}},
    }
    told: list[Finished] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "OBSERVERS", [told.append])
        patch.setattr("sandbox.ledger.write", lambda *args: None)
        artifact = compiler.deploy(SOURCE, kind="javascript")
        call = Call(id="inv_s", plugin="one", version="1", hook="secret", event={"url": "https://api.invalid/"})
        call = dataclasses.replace(call, settings={"apiToken": SECRET})
        host.execute(artifact, call, grants=grants, limits=Limits(deadline_ms=10_000), backend=backend)
    body = tape.write(told[0])
    kept = tape.read(body)
    assert kept["call"]["settings"] == {"apiToken": tape.REDACTED}
    assert kept["hostCalls"][0]["family"] == "http"
