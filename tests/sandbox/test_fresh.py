"""One call, one store, dropped: nothing of a call is left for another."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import pytest

from sandbox import compiler, host, runtime, selftest
from tests.sandbox.guests import KINDS, call, javascript, trouble, twin


@pytest.mark.parametrize("kind", KINDS)
def test_no_call_finds_what_another_left(kind: str, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """1,000 calls on 4 threads, two plugins of the kind and one in JavaScript on 2 slots: everything is as new.

    What is left and looked for: globals and statics, closures (a boxed one in Rust, a function pointer in C), memory
    of the heap and memory that was grown, and in JavaScript the prototypes and built-in objects too.
    """
    settings.SANDBOX_SLOTS = 2
    monkeypatch.setattr(runtime, "_runtimes", {})
    guests = [(trouble(kind), "trouble:keep"), (twin(kind), "trouble:keep"), (trouble("javascript"), "trouble:keep")]
    assert len({artifact.digest for artifact, _ in guests}) == (2 if kind == "javascript" else 3)
    taken: list[int] = []

    def turn(number: int) -> tuple[str, Any]:
        artifact, hook = guests[number % 3]
        taken.append(runtime.runtime().slots._value)  # type: ignore[attr-defined]
        outcome = call(artifact, hook, plugin=f"guest-{number % 3}", limits={"deadline_ms": 10_000})
        return outcome.status, outcome.result if outcome.status == "ok" else outcome.error

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(turn, range(1000)))
    assert set(results) == {("ok", "fresh")}
    assert max(taken) <= 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_secret_would_be_found(kind: str) -> None:
    """Within one store the troublemaker does find what it left: the test above could fail."""
    assert call(trouble(kind), "trouble:keep-twice").result == "found"


def test_memory_that_a_call_grew_is_zero_again() -> None:
    """Uninitialised memory reads as zero, even in a slot that another plugin filled just before (C10, C11)."""
    filler = javascript(
        "() => { const kept = []; try { for (;;) kept.push(new Uint8Array(1 << 16).fill(115)); } catch { return 1; } }"
    )
    reader = trouble("c")
    for _ in range(20):
        assert call(filler).status in ("ok", "memory")
        assert call(reader, "trouble:keep").result == "fresh"


def _idle(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_runtimes", {})
    artifacts = [
        compiler.deploy(
            f"export default {{ hooks: {{ {'go' if n < 5 else 'other'}: () => {n} }} }};".encode(), kind="javascript"
        )
        for n in range(count)
    ]
    listeners = [artifact for artifact in artifacts if "go" in (artifact.hooks or ())]
    assert [call(artifact).result for artifact in listeners] == [0, 1, 2, 3, 4]
    # Counted by the engine's own side, whichever way it runs them.
    here = runtime.runtime()
    assert here.machine.opened == 5
    assert len(here._programs) == 5


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "portable"])
def test_idle_plugins_cost_no_store(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    """With 20 plugins deployed, a hook that 5 declare opens 5 stores, and no idle plugin has a program loaded."""
    if not fast:
        monkeypatch.setattr(selftest, "verdict", lambda: selftest.Verdict(passed=False, reason="for this test"))
    _idle(20, monkeypatch)


@pytest.mark.slow
def test_two_hundred_idle_plugins_cost_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 200 plugins deployed it is 5 stores and 5 programs all the same."""
    _idle(200, monkeypatch)


def test_two_engines_are_never_mixed() -> None:
    """A module of one engine is refused by a store of another, and counting instructions uses an engine of its own."""
    import wasmtime

    plain, counting = runtime.runtime(), runtime.runtime(fuel=True)
    assert plain.engine is not counting.engine
    artifact = javascript("() => 1")
    store = wasmtime.Store(counting.engine)
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Instance(store, wasmtime.Module(plain.engine, "(module)"), [])
    assert call(artifact).fuel is None
    counted = call(artifact, limits={"fuel": 50_000_000})
    assert counted.ok
    assert counted.fuel
    assert host.execute is not None


def test_the_least_recently_used_program_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is called all the time stays loaded while others come and go."""
    monkeypatch.setattr(runtime, "_runtimes", {})
    monkeypatch.setattr(runtime, "MOST_PROGRAMS", 2)
    often, *others = (javascript(f"() => {number}") for number in range(4))
    for number, artifact in enumerate(others, 1):
        assert (call(often).result, call(artifact).result) == (0, number)
        assert list(runtime.runtime()._programs) == [often.digest, artifact.digest]
