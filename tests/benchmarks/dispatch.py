"""What a call costs on its way: signed HTTP to a worker against bare httpx, and a fired hook with 1, 10, 100 listeners.

    python -m tests.benchmarks.dispatch [--quick] [--json FILE] [--only WORD,…] [--patience SECONDS]

All on an empty SQLite in a process of its own, one after the other. The worker of the first rows is a Node server
that only reads JSON and answers; with ``webhook-id`` it signs. The fired hooks run real JavaScript plugins, each of
its own source, that return a number; ledger rows are written.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.benchmarks import harness, peers
from tests.benchmarks.harness import Row, emit, measured, number, progress, wanted

KEY = "a key for the benchmark"
EVENT = {
    "collection": "flatpages.flatpage",
    "id": "1",
    "created": False,
    "content": {"url": "/about/", "title": "About", "content": "<p>" + "word " * 40 + "</p>"},
}
HOOK = "content:afterSave"
MANY = "fire, 100 listeners"


@contextlib.contextmanager
def echo() -> Iterator[str]:
    """The Node server; its URL."""
    from tests.server import free_port

    node, port = shutil.which("node"), free_port()
    if not node:
        raise peers.Missing("node is not installed")
    process = subprocess.Popen([node, str(peers.HERE / "echo.mjs"), str(port), KEY], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def plugin_worker() -> Iterator[str]:
    """``manage.py plugin_worker`` on a data directory of its own; its URL."""
    import httpx

    from tests.server import ROOT, environment, eventually, free_port

    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "plugin_worker", "--port", str(port)],
            cwd=ROOT,
            env=environment(folder, ZELAVIS_WORKER_SECRET=KEY),  # type: ignore[arg-type]
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

        def healthy() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
            return False

        try:
            eventually(healthy, seconds=60, what="the worker's start")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def bare(url: str) -> Callable[[], Any]:
    """httpx with one kept connection, the same body, no signature."""
    import httpx

    client = httpx.Client(trust_env=False)
    body = json.dumps({"id": "inv_bench", "hook": HOOK, "event": EVENT, "deadlineMs": 1000}).encode()

    def call() -> Any:
        answer = client.post(
            f"{url}/__zelavis/plugin/call", content=body, headers={"content-type": "application/json"}, timeout=5
        )
        return answer.json()["status"]

    return call


def through_adapter(url: str, name: str, digest: str, hook: str = HOOK) -> Callable[[], Any]:
    """The dispatch adapter's call: the worker's row, the secret, signature, exchange, checks, outcome."""
    from tests.zelavis.adapters.conftest import make_call, make_entry
    from zelavis import encryption
    from zelavis.adapters.dispatch import DispatchAdapter
    from zelavis.models import DispatchNamespace, DispatchWorker

    namespace, _ = DispatchNamespace.objects.get_or_create(name="bench")
    worker = DispatchWorker.objects.create(
        namespace=namespace, name=name, base_url=url, secret=encryption.seal(KEY), takes_uploads=True
    )
    adapter, entry, counter = (
        DispatchAdapter(),
        make_entry(name=name, worker=worker.pk, digest=digest),
        itertools.count(),
    )
    prefix = os.urandom(6).hex()

    def call() -> Any:
        outcome = adapter.call(
            entry,
            make_call(id=f"inv_{prefix}{next(counter)}", hook=hook, event=EVENT, now_ms=int(time.time() * 1000)),
        )
        assert outcome.ok, outcome
        return outcome.result

    return call


def deployed_at_worker(url: str) -> Callable[[], Any]:
    """A real plugin at a real ``plugin_worker``."""
    from tests.zelavis.adapters.conftest import make_order
    from zelavis.adapters.dispatch import DispatchAdapter
    from zelavis.models import DispatchWorker

    source = b"export default { hooks: { 'content:afterSave': async (event) => 1 } };"
    digest = hashlib.sha256(source).hexdigest()
    call = through_adapter(url, "hosted", digest)
    order = make_order(
        name="hosted",
        worker=DispatchWorker.objects.get(name="hosted"),
        entry_digest=digest,
        specifier="marketplace:hosted@1.0.0",
        manifest={"name": "hosted", "version": "1.0.0", "limits": {"deadlineMs": 1000}},
        source=lambda: source,
    )
    DispatchAdapter().deploy(order)
    assert DispatchAdapter().activate(order).status == "active"
    return call


def listeners(count: int) -> None:
    """So many plugins serve and listen, each of a source of its own."""
    from sandbox import compiler
    from tests.zelavis.plugs import serve
    from zelavis import registry
    from zelavis.models import Deployment, PluginEntry

    for place in range(PluginEntry.objects.count(), count):
        source = f"export default {{ hooks: {{ '{HOOK}': async (event) => {place} }} }};".encode()
        artifact = compiler.deploy(source, kind="javascript", grants={})
        entry = serve(f"listener-{place}", adapter="sandbox", hooks=[HOOK], limits={"deadlineMs": 1000})
        Deployment.objects.filter(entry=entry).update(entry_digest=artifact.digest)
    registry.forget_snapshot()


def fired(count: int) -> Callable[[], Any]:
    """``hooks.fire`` with so many listeners."""
    from zelavis import hooks

    listeners(count)

    def call() -> Any:
        result = hooks.fire(HOOK, EVENT)
        assert len(result.outcomes) == count, len(result.outcomes)
        assert all(outcome.status == "ok" for outcome in result.outcomes), result.outcomes
        return result

    return call


def child(quick: bool, only: str) -> None:
    """Everything that needs Django: this process has it set up on an empty SQLite."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "zelavis.settings")
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    count, seconds = (200, 0.3) if quick else (3000, 3.0)

    def row(name: str, call: Callable[[], Any], calls: int, *, fresh: str, note: str = "", two: bool = True) -> None:
        if wanted(name, only):
            progress(name)
            emit(measured(name, call, count=calls, seconds=seconds, fresh=fresh, note=note, two=two))

    with echo() as url:
        row("bare httpx, unsigned", bare(url), count, fresh="–", note="one kept connection")
        row("dispatch adapter, signed both ways", through_adapter(url, "echo", "e" * 64), count, fresh="–")
        row("bare httpx, unsigned, again", bare(url), count, fresh="–", note="how steady the machine was")
    with plugin_worker() as url:
        row(
            "dispatch adapter → plugin_worker → plugin",
            deployed_at_worker(url),
            count,
            fresh="yes",
            note="two processes",
        )
    for listening in (0, 1, 10, 100):
        note = "the registry's revision is read" if not listening else "ledger rows written"
        if listening == 100:
            note += f"; {settings.SANDBOX_SLOTS} slots"
        name = f"fire, {listening} listeners"
        if wanted(name, only):
            row(
                name, fired(listening), max(20, count // max(1, listening)), fresh="yes", note=note, two=listening < 100
            )


def main() -> None:
    """Run the child on a quiet machine and print its table."""
    options = harness.options(__doc__)
    busy = harness.wait_until_idle(options.patience)
    rows, failed = rows_in_child(options.quick, options.only)
    if wanted(MANY, options.only):
        # Slots for twice as many plugins as listen: each finds its memory as it left it.
        more, again = rows_in_child(options.quick, "100 listeners", ZELAVIS_SANDBOX_SLOTS="256")
        rows, failed = rows + more, failed or again
    print(f"{harness.machine()}; {busy:.2f} cores busy with other work at the start\n")
    print(table(rows))
    harness.save(options.json, rows, busy=busy)
    sys.exit(failed)


def rows_in_child(quick: bool, only: str, **variables: str) -> tuple[list[Row], int]:
    """What a process with these settings and an empty database measured, and its exit code."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZELAVIS_", "DJANGO_"))}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.dispatch", "--child", str(int(quick)), only],
            cwd=harness.ROOT,
            env={**kept, "ZELAVIS_DATA_DIR": folder, **variables},
            stdout=subprocess.PIPE,
            text=True,
            timeout=1200,
        )
    return harness.rows_of(done.stdout), done.returncode


def table(rows: list[Row]) -> str:
    """Milliseconds and calls a second."""
    return harness.table(
        ["", "p50 ms", "p99 ms", "max ms", "calls/s", "calls/s, 2 threads", "fresh store", "note"],
        [
            [
                row.name,
                number(row.p50),
                number(row.p99),
                number(row.maximum),
                number(row.per_second),
                number(row.per_second_2),
                row.fresh,
                row.note,
            ]
            for row in rows
        ],
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2] == "1", sys.argv[3])
    else:
        main()
