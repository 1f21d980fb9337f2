"""More calls that take long than there are processors: they rest in between, and end when they must."""

from __future__ import annotations

import statistics
import time

import pytest

from sandbox import abi, interrupts, slices
from tests.sandbox.guests import call, trouble
from tests.sandbox.test_interrupts import LONG, Started, way

__all__ = ["way"]
MANY = 24


def crowd(plugin: str, **limits: int) -> list[Started]:
    artifact = trouble("c")
    call(artifact, "trouble:healthy")
    return [Started(artifact, "trouble:loop", plugin=plugin, limits=limits or LONG) for _ in range(MANY)]


def all_long() -> None:
    ends = time.monotonic() + 10
    while interrupts.long_calls() < MANY:
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_crowd_that_loops_leaves_short_calls_room(way: str) -> None:
    """Beside two dozen loops short calls are answered, and an interruption reaches also the loops that rest."""
    many = crowd("many")
    all_long()
    time.sleep(0.3)
    took = []
    for _ in range(15):
        began = time.monotonic()
        assert call(trouble("c"), "trouble:healthy", plugin="other", limits=LONG).ok
        took.append(time.monotonic() - began)
    asked_at = time.monotonic()
    assert interrupts.interrupt(plugin="many", reason="enough") == MANY
    assert {one.result().status for one in many} == {"cancelled"}
    # Also those that were resting: they look at it every tenth of a second.
    assert max(one.ended_at for one in many) - asked_at < 1.0
    assert statistics.median(took) < 0.2, took


def test_a_crowd_ends_by_its_deadline(way: str) -> None:
    """A rest is over at the deadline: nobody gets more time by resting, nor is let go early."""
    many = crowd("many", deadline_ms=800)
    ends = [one.result() for one in many]
    assert {one.status for one in ends} == {"deadline"}
    assert min(one.duration_ms for one in ends) >= 800
    assert statistics.median(one.duration_ms for one in ends) < 5000


def test_as_many_as_processors_do_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest begins with the first call too many, and never lasts beyond the deadline."""
    run = abi.Invocation.__new__(abi.Invocation)
    run.interrupted, run.ends_at = None, time.monotonic() + 0.05
    monkeypatch.setattr(interrupts, "_slow", set(range(slices._PROCESSORS)))
    slices._rest(run)
    assert time.monotonic() < run.ends_at
    monkeypatch.setattr(interrupts, "_slow", set(range(100 * slices._PROCESSORS)))
    slices._rest(run)
    assert run.ends_at <= time.monotonic() < run.ends_at + 1
