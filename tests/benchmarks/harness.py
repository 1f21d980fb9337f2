"""What every benchmark shares: percentiles, throughput, memory, an idle machine to start on, a table to end with.

Only the standard library: the peers' programs import it from an environment that holds nothing of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
BUSY_LIMIT = 0.25  # of one core, by anybody


@dataclass
class Row:
    """One measured way to do the work. Times are milliseconds, memory is MB, ``None`` is not measured."""

    name: str
    p50: float | None = None
    p99: float | None = None
    maximum: float | None = None
    count: int = 0
    per_second: float | None = None
    per_second_2: float | None = None
    memory_before: float | None = None
    memory_after: float | None = None
    fresh: str = ""
    note: str = ""
    spread: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` percent lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 and maximum in milliseconds of durations in seconds."""
    return {
        "p50": percentile(seconds, 50) * 1000,
        "p99": percentile(seconds, 99) * 1000,
        "maximum": max(seconds) * 1000,
    }


def latencies(call: Callable[[], Any], *, count: int, warm: int) -> list[float]:
    """Durations in seconds of ``count`` calls one after the other, after ``warm`` that are not counted."""
    for _ in range(warm):
        call()
    clock = time.perf_counter
    found = []
    for _ in range(count):
        start = clock()
        call()
        found.append(clock() - start)
    return found


def throughput(call: Callable[[], Any], *, threads: int, seconds: float) -> float:
    """Calls a second that ``threads`` threads reach together. An error in one of them is raised here."""
    counts = [0] * threads
    errors: list[BaseException] = []
    begin = threading.Barrier(threads + 1)
    end = [0.0]

    def work(place: int) -> None:
        try:
            begin.wait()
            done = 0
            while time.perf_counter() < end[0]:
                call()
                done += 1
            counts[place] = done
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
    for worker in workers:
        worker.start()
    started = time.perf_counter()
    end[0] = started + seconds
    begin.wait()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return sum(counts) / (time.perf_counter() - started)


def resident_mb(pid: int | str = "self") -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def measured(
    name: str, call: Callable[[], Any], *, count: int, seconds: float, fresh: str, note: str = "", two: bool = True
) -> Row:
    """The standard row: latency of ``count`` calls, memory around them, throughput on one and two threads."""
    warm = max(1, min(200, count // 10))
    for _ in range(warm):
        call()
    before = resident_mb()
    found = latencies(call, count=count, warm=0)
    after = resident_mb()
    parts = [statistics.median(part) * 1000 for part in chunks(found, 5)]
    row = Row(name, **summary(found), count=count, memory_before=before, memory_after=after, fresh=fresh, note=note)
    row.spread = f"{min(parts):.3f}..{max(parts):.3f}"
    row.per_second = throughput(call, threads=1, seconds=seconds)
    if two:
        row.per_second_2 = throughput(call, threads=2, seconds=seconds)
    return row


def chunks(values: Sequence[float], number: int) -> Iterable[Sequence[float]]:
    """``values`` in ``number`` parts of nearly equal length, the empty ones left out."""
    size = max(1, -(-len(values) // number))
    return [values[at : at + size] for at in range(0, len(values), size)]


def busy_cores(seconds: float = 1.0) -> float:
    """How many cores everybody together kept busy for ``seconds``."""

    def busy() -> int:
        fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        return sum(fields) - fields[3] - fields[4]

    start, began = busy(), time.perf_counter()
    time.sleep(seconds)
    return (busy() - start) / os.sysconf("SC_CLK_TCK") / (time.perf_counter() - began)


def wait_until_idle(patience: float) -> float:
    """Wait for two quiet seconds in a row, at most ``patience`` seconds; the busy cores seen last."""
    deadline = time.monotonic() + patience
    quiet = 0
    while True:
        busy = busy_cores()
        quiet = quiet + 1 if busy < BUSY_LIMIT else 0
        if quiet >= 2 or time.monotonic() >= deadline:
            return busy


def progress(text: str) -> None:
    """One line on the error stream: what is being measured now."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def options(description: str | None, **flags: str) -> argparse.Namespace:
    """The command line every benchmark understands, with ``flags`` (name: help) as further switches."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the calls: shows that it runs, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows here")
    parser.add_argument("--only", default="", metavar="WORD,…", help="only rows whose name contains one of the words")
    parser.add_argument("--patience", type=float, default=30, metavar="SECONDS", help="wait this long for idle cores")
    for name, text in flags.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=text)
    return parser.parse_args()


def wanted(name: str, only: str) -> bool:
    """Whether ``--only`` lets this row through."""
    return not only or any(word.strip().lower() in name.lower() for word in only.split(","))


def number(value: float | None, digits: int | None = None) -> str:
    """A figure with as many digits as it deserves; ``–`` for what was not measured."""
    if value is None:
        return "–"
    if digits is None:
        digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}"


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded so that it also reads well in a terminal."""
    widths = [max(len(cell) for cell in column) for column in zip(headings, *lines, strict=True)]

    def draw(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([draw(headings), rule, *(draw(line) for line in lines)])


def machine() -> str:
    """The shape of this machine in one line."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown processor",
    )
    kernel = os.uname().release
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {model}, Linux {kernel}, Python {sys.version.split()[0]}, {time.strftime('%Y-%m-%d %H:%M')}"


def save(path: Path | None, rows: Sequence[Row], **facts: object) -> None:
    """Write the rows for later comparison."""
    if path is not None:
        content = {"machine": machine(), **facts, "rows": [asdict(row) for row in rows]}
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def emit(row: Row) -> None:
    """A peer's program hands a row to the benchmark that started it: one JSON line."""
    print("ROW " + json.dumps(asdict(row)), flush=True)


def rows_of(output: str) -> list[Row]:
    """The rows among the lines that a peer's program printed."""
    return [Row(**json.loads(line[4:])) for line in output.splitlines() if line.startswith("ROW ")]
