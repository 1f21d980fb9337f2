"""The common rule of every row of the matrix, decided from the log that the tenant wrote itself.

For every run that was promised: it ended in its declared state; its journal has no gap and no entry of a driver older
than one before it; no journaled step ran again; nothing was done on top of a result that is not in the journal; every
event that was accepted is in its output, once.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.load import Promise

Rows = Callable[..., list[tuple[Any, ...]]]
#: Workflows whose steps are committed with the invocation's answer.
TOGETHER = ("chaos-together", "http-steps")


def effects(log: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines of the independent log, by run."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in log.read_text(encoding="utf-8").splitlines():
        read = json.loads(line)
        found[read["run"]].append(read)
    return found


@dataclass
class Verdict:
    """What the check counted, for the report."""

    runs: int = 0
    steps: int = 0
    #: Steps whose body began more than once, because a driver died or was cut off before the commit.
    repeated: int = 0
    #: When each run ended, on the wall clock in seconds.
    ended: dict[str, float] = field(default_factory=dict)
    #: Each run with its children.
    families: dict[str, list[str]] = field(default_factory=dict)


def wait_until_ended(rows: Rows, run_ids: Sequence[str], *, seconds: float) -> None:
    """Until each of these runs, and each child of theirs, has ended."""
    give_up = time.monotonic() + seconds
    while True:
        left = rows(
            "SELECT id, status, wake_at, lease_owner, claims, attempts FROM runs_run "
            "WHERE completed_at IS NULL AND (id = ANY(%s) OR parent_id = ANY(%s))",
            list(run_ids),
            list(run_ids),
        )
        if not left:
            return
        assert time.monotonic() < give_up, f"{len(left)} runs did not end in {seconds} s, first {left[:5]}"
        time.sleep(0.05)


def wait_until_woken(rows: Rows, prefix: str, *, seconds: float) -> None:
    """As :func:`wait_until_ended` for thousands, of which a look at each would be a load of its own."""
    give_up = time.monotonic() + seconds
    while left := rows(
        "SELECT count(*) FROM runs_run WHERE id LIKE %s AND wake_at < extract(epoch FROM now()) * 1000 + 3600000",
        f"{prefix}-%",
    )[0][0]:
        assert time.monotonic() < give_up, f"{left} runs did not end in {seconds} s"
        time.sleep(0.5)


def check(rows: Rows, log: Path, promises: Iterable[Promise], *, state: str = "completed") -> Verdict:
    """The common rule. Every run has ended before (see :func:`wait_until_ended`)."""
    lines, verdict = effects(log), Verdict()
    for promise in promises:
        found = rows("SELECT status, completed_at, next_seq FROM runs_run WHERE id = %s", promise.run_id)
        assert found, f"{promise.run_id} was accepted and is not there"
        assert found[0][0] == state, f"{promise.run_id} ended {found[0]}: {error_of(rows, promise.run_id)}"
        verdict.runs += 1
        verdict.ended[promise.run_id] = found[0][1] / 1000
        family, steps, repeated = check_family(rows, lines, promise.run_id, together=promise.workflow in TOGETHER)
        verdict.families[promise.run_id] = family
        verdict.steps += steps
        verdict.repeated += repeated
        if state == "completed":
            check_output(rows, promise, family)
    stuck = rows(
        "SELECT id, status, wake_at FROM runs_run WHERE completed_at IS NULL AND NOT paused "
        "AND wake_at < extract(epoch FROM now()) * 1000 - 10000"
    )
    assert not stuck, f"nobody looks at {stuck}"
    return verdict


def check_family(
    rows: Rows, lines: dict[str, list[dict[str, Any]]], run_id: str, *, together: bool = False
) -> tuple[list[str], int, int]:
    """The journals of a run and of its children. Returns (their ids, steps, steps that began more than once)."""
    family = [run_id, *(row[0] for row in rows("SELECT id FROM runs_run WHERE parent_id = %s", run_id))]
    counts = [check_journal(rows, member, lines[member], together=together) for member in family]
    return family, sum(steps for steps, _ in counts), sum(repeated for _, repeated in counts)


def check_journal(rows: Rows, run_id: str, lines: list[dict[str, Any]], *, together: bool = False) -> tuple[int, int]:
    """One run's journal against what the tenant noted. Returns (steps, steps that began more than once).

    ``together``: the steps of an invocation are journaled with its answer, so they build on each other before.
    """
    journal = rows("SELECT seq, kind, key, data, fence FROM runs_journal WHERE run_id = %s ORDER BY seq", run_id)
    next_seq = rows("SELECT next_seq FROM runs_run WHERE id = %s", run_id)[0][0]
    assert [row[0] for row in journal] == list(range(1, next_seq)), f"{run_id}: {journal}"
    fences = [row[4] for row in journal]
    assert fences == sorted(fences), f"{run_id}: an older driver wrote after a newer one: {fences}"
    written = {key: (json.loads(data).get("output"), fence) for _, kind, key, data, fence in journal if kind == "step"}
    assert len(written) == sum(kind == "step" for _, kind, *_ in journal), f"{run_id}: a step is there twice"
    ran: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        ran[line["step"]].append(line)
    outputs = {output for output, _ in written.values()}
    for step, (output, fence) in written.items():
        where = f"{run_id} {step}: journaled {output} under fence {fence}, ran {ran[step]}"
        done = Counter(line["fence"] for line in ran[step])
        assert done, where
        assert max(done.values()) == 1, f"a driver ran a step twice: {where}"
        assert max(done) <= fence, f"a journaled step ran again: {where}"
        assert [line["value"] for line in ran[step] if line["fence"] == fence] == [output], where
    for line in lines:
        own = {other["value"] for other in lines if together and other["fence"] == line["fence"]}
        assert set(line["seen"]) <= outputs | own, f"{run_id}: {line} was done on top of what is not in the journal"
    return len(written), sum(len(each) > 1 for each in ran.values())


def check_output(rows: Rows, promise: Promise, family: list[str]) -> None:
    """The output of a run tells its journal's results, and every event that was accepted, once."""
    run_id = promise.run_id
    output = json.loads(rows("SELECT output FROM runs_data WHERE run_id = %s", run_id)[0][0])
    journaled = [
        json.loads(row[0])["output"]
        for row in rows("SELECT data FROM runs_journal WHERE run_id = %s AND kind = 'step' ORDER BY seq", run_id)
    ]
    assert output["steps"] == journaled, f"{run_id}: {output} {journaled}"
    assert sorted(output["events"]) == sorted(promise.sent), f"{run_id}: sent {promise.sent}, got {output['events']}"
    receipts = rows("SELECT payload, disposition FROM runs_inbox WHERE run_id = %s", run_id)
    assert sorted(receipts) == sorted((json.dumps(payload), "matched") for payload in promise.sent), run_id
    assert len(family) == (2 if promise.given.get("child") else 1), f"{run_id} has the family {family}"
    assert (output["child"] is not None) == bool(promise.given.get("child")), run_id


def error_of(rows: Rows, run_id: str) -> Any:
    """The error of a run, for a message."""
    return rows("SELECT error FROM runs_data WHERE run_id = %s", run_id)
