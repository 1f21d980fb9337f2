"""What a fresh sandbox costs a hook call, ours and others', in one run on one machine.

    python -m tests.benchmarks.isolates [--quick] [--postgresql] [--json FILE] [--only WORD,…] [--patience SECONDS]

The standard job: read an event of about 400 bytes, count the words of a 280 character body with a Unicode regular
expression (C and AssemblyScript scan by hand), make two calls of kv, answer JSON. Every answer is checked once.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import services
from tests.benchmarks import harness, peers
from tests.benchmarks.harness import Row, latencies, number, progress, summary, throughput, wanted
from tests.benchmarks.peers import work
from tests.server import free_port

CONFIG = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "main", worker = .loader) ],
  sockets = [ (name = "http", address = "127.0.0.1:%d", http = (), service = "main") ]
);
const loader :Workerd.Worker = (
  modules = [ (name = "loader.js", esModule = embed "loader.js"), (name = "plugin-source", text = embed "plugin.js") ],
  compatibilityDate = "2025-09-01", compatibilityFlags = ["enable_ctx_exports"],
  bindings = [ (name = "LOADER", workerLoader = ()) ]
);
"""


@contextlib.contextmanager
def running_workerd() -> Iterator[tuple[int, int]]:
    """workerd on a free port; the port and its process id."""
    binary, port = peers.workerd(), free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.capnp").write_text(CONFIG % port)
        (folder / "loader.js").write_text((peers.HERE / "workerd_loader.mjs").read_text())
        (folder / "plugin.js").write_text((peers.HERE / "plugin_job.mjs").read_text())
        process = subprocess.Popen(
            [str(binary), "serve", "config.capnp", "--experimental"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/nothing", b"", timeout=1).read()
                    break
                if process.poll() is not None:
                    raise peers.Missing("workerd does not start")
                time.sleep(0.05)
            yield port, process.pid
        finally:
            process.kill()
            process.wait()


def workerd_rows(calls: int, seconds: float) -> list[Row]:
    """Empty, warm and fresh."""
    with running_workerd() as (port, pid):
        arguments = (str(calls), str(max(100, calls // 10)), str(seconds), str(port), str(pid))
        return peers.measure("workerd_call", *arguments)


def process_rows(calls: int, seconds: float) -> list[Row]:
    """A Node process for every call."""
    text = json.dumps(work.EVENT).encode()
    program = str(peers.node_program("process.mjs"))

    def call() -> bytes:
        return subprocess.run(["node", program], input=text, capture_output=True, check=True).stdout

    work.check(call())
    found = latencies(call, count=max(10, calls // 300), warm=2)
    row = Row("Node process per call", **summary(found), count=len(found), fresh="yes", note="nothing stays resident")
    row.per_second = len(found) / sum(found)
    row.per_second_2 = throughput(call, threads=2, seconds=seconds)
    return [row]


def on_postgresql(calls: int, seconds: float) -> list[Row]:
    """Policy and ledger on a PostgreSQL of our own."""
    with services.postgresql() as server:
        return ours(
            calls,
            seconds,
            "database",
            ZELAVIS_DATABASE_URL=server.database("isolates"),
            ZELAVIS_BROKER_URL="redis://127.0.0.1:1/0",
            ZELAVIS_SECRET_KEY="a key for benchmarks only, long enough",
        )


def ours(calls: int, seconds: float, part: str, **variables: str) -> list[Row]:
    """Filled by ``isolates_ours`` in a process of its own, with Django set up on an empty database."""
    from tests.benchmarks import isolates_ours

    return isolates_ours.rows_in_child(calls, seconds, part, **variables)


def catalogue(calls: int, seconds: float) -> dict[str, Callable[[], list[Row]]]:
    """Every group of rows by name, cheap to expensive; nothing runs yet."""
    few = max(50, calls // 20)
    count, length = str(calls), str(seconds)
    return {
        "ours, bare": lambda: ours(calls, seconds, "bare"),
        "ours, hardened": lambda: ours(calls, seconds, "hardened", ZELAVIS_SANDBOX_HARDENED="true"),
        "ours, SQLite": lambda: ours(calls, seconds, "database"),
        "ours, PostgreSQL": lambda: on_postgresql(calls, seconds),
        "ours, 200 plugins": lambda: ours(calls, seconds, "plugins"),
        "bare wasmtime, tiny": lambda: peers.measure(
            "bare_wasmtime", count, length, str(peers.guest("tiny.wat")), "tiny"
        ),
        "bare wasmtime, C": lambda: peers.measure("bare_wasmtime", count, length, str(peers.guest("standard.c")), "C"),
        "Extism": lambda: peers.measure("extism_call", count, length, str(peers.guest("extism.c"))),
        "quickjs-rs": lambda: peers.measure("quickjs_call", str(few), length),
        "mini-racer": lambda: peers.measure("miniracer_call", str(few // 2), length),
        "Node vm": lambda: peers.measure_node("vm.mjs", count, json.dumps(work.EVENT)),
        "Node process": lambda: process_rows(calls, seconds),
        "workerd": lambda: workerd_rows(calls, seconds),
    }


def draw(rows: list[Row]) -> str:
    """The table of the reference page."""
    headings = (
        "way to run the hook",
        "fresh",
        "p50 ms",
        "p99 ms",
        "calls/s, 1 thread",
        "2 threads",
        "MB before",
        "after",
        "calls",
        "note",
    )
    lines = [
        (
            row.name,
            row.fresh,
            number(row.p50),
            number(row.p99),
            number(row.per_second, 0),
            number(row.per_second_2, 0),
            number(row.memory_before, 1),
            number(row.memory_after, 1),
            str(row.count or "–"),
            row.note,
        )
        for row in rows
    ]
    return harness.table(headings, lines)


def main() -> None:
    chosen = harness.options(__doc__, postgresql="also policy and ledger on PostgreSQL")
    calls, seconds = (2_000, 0.5) if chosen.quick else (20_000, 2.0)
    rows: list[Row] = []
    for name, measure in catalogue(calls, seconds).items():
        if not wanted(name, chosen.only) or (name == "ours, PostgreSQL" and not chosen.postgresql):
            continue
        busy = harness.wait_until_idle(chosen.patience)
        progress(f"{name} (others keep {busy:.2f} cores busy)")
        try:
            found = measure()
        except peers.Missing as missing:
            found = [Row(name, note=f"not measured: {missing}")]
        for row in found:
            row.note = ", ".join(filter(None, [row.note, f"noisy: {busy:.1f} cores busy before" if busy > 0.5 else ""]))
        rows += found
    print(harness.machine())
    print(draw(rows))
    harness.save(chosen.json, rows)


if __name__ == "__main__":
    main()
