"""How long it took until work went on after each fault, and the table of it at the end of a run of the suite."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

from tests.chaos.checks import Verdict, effects
from tests.chaos.load import Promise

NAME = "recovery"


class Recovery:
    """Faults of one row of the matrix. ``record`` is pytest's ``record_property``."""

    def __init__(self, record: Any) -> None:
        self._record = record
        self._over: list[float] = []

    def over(self) -> None:
        """The fault ended now; for a kill: it happened now."""
        self._over.append(time.monotonic())

    def measure(self, row: str, what: str, log: Path, promises: list[Promise], verdict: Verdict) -> None:
        """Note the row's times, of the runs that were open at a fault: until each had its next effect, or ended, and
        until the last of them had ended.
        """
        wall = time.time() - time.monotonic()
        lines = effects(log)
        went_on: list[float] = []
        last: list[float] = []
        for moment in self._over:
            open_then = [
                promise.run_id
                for promise in promises
                if promise.accepted_at <= moment < verdict.ended[promise.run_id] - wall
            ]
            for run_id in open_then:
                moments = [line["at"] for member in verdict.families[run_id] for line in lines[member]]
                moments.append(verdict.ended[run_id] - wall)
                went_on.append(min(at for at in moments if at > moment) - moment)
            if open_then:
                last.append(max(verdict.ended[run_id] for run_id in open_then) - wall - moment)
        self.note(row, what, went_on, last, faults=len(self._over), runs=verdict.runs)

    def note(self, row: str, what: str, went_on: list[float], last: list[float], *, faults: int, runs: int) -> None:
        """Times in seconds."""
        entry = {"row": row, "what": what, "went_on": went_on, "last": last, "faults": faults, "runs": runs}
        self._record(NAME, json.dumps(entry))


def table(entries: list[dict[str, Any]]) -> list[str]:
    """Lines of Markdown."""
    lines = [
        "| row | fault | faults | runs | went on, p50 s | max s | all ended, p50 s | max s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry in sorted(entries, key=lambda entry: (int(entry["row"].partition(",")[0]), entry["what"])):
        went_on, last = entry["went_on"], entry["last"]
        lines.append(
            f"| {entry['row']} | {entry['what']} | {entry['faults']} | {entry['runs']} "
            f"| {_middle(went_on)} | {_most(went_on)} | {_middle(last)} | {_most(last)} |"
        )
    return lines


def _middle(times: list[float]) -> str:
    return f"{statistics.median(times):.2f}" if times else "–"


def _most(times: list[float]) -> str:
    return f"{max(times):.2f}" if times else "–"
