"""Hourly counts in blocks: never more than the limit, and few statements."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from sandbox.capabilities.backends import meters
from sandbox.capabilities.backends.meters import HOUR_MS, Meters
from sandbox.capabilities.models import PluginMeter
from tests.sandbox.capabilities.harness import NOW

pytestmark = pytest.mark.django_db(transaction=True)


def charge(counts: Meters, limit: int, amount: int = 1, now_ms: int = NOW) -> bool:
    """One more of a count named ``m``."""
    return counts.charge("one", "m", amount, limit, now_ms=now_ms)


def counted() -> int:
    """What the database says of this hour."""
    return PluginMeter.objects.get(plugin="one", meter="m", hour=NOW // HOUR_MS).used


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is sent to the database meanwhile."""
    seen: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


@pytest.mark.parametrize("limit", [1, 3, 63, 64, 500, 1000])
def test_one_process_gets_exactly_the_limit(limit: int) -> None:
    """A process that asks until it is refused was allowed the whole limit and not one more."""
    counts = Meters()
    allowed = sum(charge(counts, limit) for _ in range(limit + 50))
    assert allowed == limit
    assert counted() == limit


def test_processes_together_never_pass_the_limit() -> None:
    """Two that take turns stay within the limit; what one still holds is all that is missing at the end."""
    first, second = Meters(), Meters()
    allowed = 0
    for _ in range(700):
        allowed += charge(first, 1000)
        allowed += charge(second, 1000)
    assert allowed == 1000
    idle, busy = Meters(), Meters()
    assert charge(idle, 1000, now_ms=NOW + HOUR_MS)
    rest = sum(charge(busy, 1000, now_ms=NOW + HOUR_MS) for _ in range(1100))
    assert 1000 - 1000 // meters.PART <= rest + 1 <= 1000


def test_many_calls_cost_few_statements() -> None:
    """Far from its limit a process asks the database once for hundreds of calls."""
    counts = Meters()
    with statements() as seen:
        for _ in range(1000):
            assert charge(counts, 1_000_000)
    assert len(seen) < 30


def test_what_was_not_used_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that lay for a minute is given back when the process takes again, for whatever plugin."""
    counts = Meters()
    assert charge(counts, 6400)
    assert counted() == 100
    monkeypatch.setattr(meters, "KEPT", -1.0)
    assert counts.charge("other", "m", 1, 5, now_ms=NOW)
    assert counted() == 1
    assert charge(counts, 6400)


def test_another_limit_does_not_use_an_old_block() -> None:
    """A limit that an operator lowers holds at once, also for what the process holds already."""
    counts = Meters()
    assert charge(counts, 6400)
    assert not charge(counts, 50)
    assert counted() == 100


def test_a_block_is_not_taken_in_a_transaction_of_others() -> None:
    """What could be rolled back is counted one by one, so that nothing is used that was never counted."""
    counts = Meters()
    with transaction.atomic():
        assert charge(counts, 6400)
        transaction.set_rollback(True)
    assert not PluginMeter.objects.exists()
    assert charge(counts, 6400)
    assert counted() == 100


def test_a_forked_process_does_not_use_what_its_parent_holds() -> None:
    """The block of the parent is not in its child: both would use it."""
    counts = Meters()
    assert charge(counts, 6400)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        held = counts._from_block(("one", "m", NOW // HOUR_MS), 1, 6400)
        os.write(writer, b"held" if held else b"none")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 4) == b"none"
    os.close(reader)
    os.close(writer)


def test_large_amounts_are_counted_whole_or_not_at_all() -> None:
    """An amount above a block is taken by itself; one above what is left changes nothing."""
    counts = Meters()
    assert charge(counts, 1000, amount=900)
    assert not charge(counts, 1000, amount=101)
    assert counted() == 900
    assert charge(counts, 1000, amount=100)
