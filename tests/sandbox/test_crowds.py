"""More calls that take long than there are processors: they rest in between, and end when they must."""

from __future__ import annotations

import statistics
import time

import pytest

from sandbox import abi, interrupts, slices
from tests.sandbox.guests import call, trouble
from tests.sandbox.test_interrupts import LONG, Started, way
from tests.sandbox.test_processes import process

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


def share(seconds: float) -> float:
    """Of the processor time that this process gets meanwhile, the part of a thread of the host that computes."""
    whole, own, ends = time.process_time(), time.thread_time(), time.monotonic() + seconds
    while time.monotonic() < ends:
        pass
    return (time.thread_time() - own) / (time.process_time() - whole)


def test_a_crowd_that_loops_leaves_the_host_and_short_calls_room(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside two dozen loops a thread of the host gets many times an equal share of the processors, short calls are
    answered, and an interruption reaches also the loops that rest."""
    # On every machine alike: two at a time may loop, so that a third is left for the host.
    monkeypatch.setattr(slices, "_PROCESSORS", 2)
    many = crowd("many")
    all_long()
    time.sleep(0.3)
    gotten = share(2)
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
    assert gotten > 3 / (MANY + 1), gotten


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


def test_a_forked_child_is_no_crowd_by_its_parents_calls() -> None:
    """The parent's long calls go on in the parent: a child that is forked meanwhile counts its own alone."""
    assert process(
        """
from sandbox import interrupts
others = [threading.Thread(target=loop, args=(1500, raw)) for _ in range(3)]
for one in others: one.start()
while interrupts.long_calls() < 3: time.sleep(0.01)
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, json.dumps(interrupts.long_calls()).encode())
    os._exit(0)
counted = json.loads(os.read(reader, 1000))
for one in others: one.join()
print(json.dumps([counted, interrupts.long_calls()]))
"""
    ) == [0, 0]
