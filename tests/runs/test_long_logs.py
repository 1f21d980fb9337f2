"""Following a run with more rows than are read at once."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from runs import follow
from tests.runs.conftest import run

pytestmark = pytest.mark.django_db


def numbers(text: str) -> list[int]:
    """The numbers of rows and pieces, in the order in which they were told."""
    return [int(found) for found in re.findall(r"id: (\d+)\nevent: (?:journal|stream.chunk)", text)]


@pytest.mark.parametrize("after", [0, 3, 11])
def test_nothing_of_a_long_run_is_left_out(workflow: Any, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Rows and pieces come complete and in order, whichever of them fills a batch, and then the end."""
    monkeypatch.setattr(follow, "_BATCH", 4)

    @workflow("long")
    def body(context: Any, given: Any) -> None:
        for part in ("a", "b"):
            for number in range(9):
                context.step(f"{part}{number}", lambda: None)
            context.stream(part, range(7))

    record = run("long")
    text = "".join(follow.one(record["id"], after=after))
    told = numbers(text)
    assert told == list(range(after + 1, max(told) + 1))
    assert len(told) + after == 2 * (9 + 8 + 1) + 1
    assert "event: end" in text


def test_what_is_committed_while_we_look_comes_in_order(workflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is written between the reading of the journal and of the pieces is told, before what follows it."""
    workflow("slow")(lambda context, given: [context.step("a", lambda: 1), context.stream("s", ["x"]), 1][2])
    record = run("slow")
    # The pieces are read when all is there, the journal when only its first row was.
    journal = follow.queries.journal
    looks = itertools.count()
    monkeypatch.setattr(follow.queries, "journal", lambda *a, **k: journal(*a, **k)[: 1 if next(looks) == 0 else None])
    first = follow._news(record["id"], 0, 2)
    assert [number for number, _ in first] == [1]
    assert [number for number, _ in follow._news(record["id"], 1, 99)] == [2, 3, 4, 5]
