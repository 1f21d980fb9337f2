"""``manage.py plugin_worker`` as a process with a data directory of its own, and a plugin that is hosted there."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import ROOT, environment, eventually, free_port
from tests.zelavis.adapters.conftest import KEY, make_call, make_entry, make_order
from zelavis import signing
from zelavis.adapters.base import Answer, CallOutcome
from zelavis.adapters.dispatch import DispatchAdapter
from zelavis.models import DispatchWorker

SOURCE = b"""
export default {
  hooks: {
    "plugin:install": async (event, ctx) => { await ctx.kv.increment("installs"); },
    "content:beforeSave": async (event) => ({ reject: { message: "No.", field: "title" } }),
    "content:afterSave": async (event, ctx) => ({ saves: await ctx.kv.increment("saves"), by: ctx.plugin.version }),
    "content:afterDelete": async (event, ctx) => ctx.content.get("flatpages.flatpage", "1"),
    "user:created": async (event) => { throw new TypeError("broken"); },
    "cron": async () => { for (;;); },
  },
  routes: { "GET /stats": async (request, ctx) => ({ status: 200, json: { saves: await ctx.kv.get("saves"),
                                                                         installs: await ctx.kv.get("installs") } }) },
};
"""
OTHER = SOURCE + b"\n// the second version"
GRANTS = {"kv": {"reason": "Counts.", "bytes": 65536}, "content:read": {"reason": "Reads."}}
adapter = DispatchAdapter()
ACTIVATE = "/__zelavis/plugin/activate"


class Worker:
    """The worker process."""

    def __init__(self, data: Path) -> None:
        self.data, self.port = data, free_port()
        self.start()

    def start(self, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "plugin_worker", "--port", str(self.port)],
            cwd=ROOT,
            env=environment(self.data, **{"ZELAVIS_WORKER_SECRET": KEY, **variables}),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            eventually(self.healthy, seconds=30, what="the worker's start")
        except AssertionError:
            self.stop()
            raise

    def healthy(self) -> bool:
        assert self.process.poll() is None, "the worker ended"
        try:
            return self.raw("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()

    def raw(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One worker for all tests of a module."""
    running = Worker(tmp_path_factory.mktemp("worker"))
    yield running
    running.stop()
    shutil.rmtree(running.data, ignore_errors=True)


_count = 0


@pytest.fixture
def name() -> str:
    """A plugin's name of this test's own, since the worker serves all tests of the module."""
    global _count
    _count += 1
    return f"counter-{_count}"


@pytest.fixture
def worker(process: Worker, make_worker: Callable[..., DispatchWorker]) -> DispatchWorker:
    """Its row on this side."""
    return make_worker(f"http://127.0.0.1:{process.port}", takes_uploads=True)


def order(worker: DispatchWorker, name: str, version: str = "1.0.0", source: bytes = SOURCE, **changes: Any) -> Any:
    """An order to install ``source`` there."""
    digest = hashlib.sha256(source).hexdigest()
    values = {
        "worker": worker,
        "name": name,
        "version": version,
        "specifier": f"marketplace:{name}@{version}",
        "entry_digest": digest,
        "manifest": {"name": name, "version": version, "limits": {"deadlineMs": 1000}},
        "grants": GRANTS,
        "source": lambda: source,
        "activation": f"act_{name}_{version}",
        **changes,
    }
    return make_order(**values)


def install(
    worker: DispatchWorker, name: str, version: str = "1.0.0", source: bytes = SOURCE, **changes: Any
) -> Answer:
    """Deploy and activate."""
    asked = order(worker, name, version, source, **changes)
    adapter.deploy(asked)
    return adapter.activate(asked)


def call(
    worker: DispatchWorker, name: str, hook: str, *, source: bytes = SOURCE, event: Any = None, **changes: Any
) -> CallOutcome:
    """One call of a hook of the version that ``source`` is."""
    entry = make_entry(
        name=name,
        version="1.0.0" if source == SOURCE else "2.0.0",
        worker=worker.pk,
        digest=hashlib.sha256(source).hexdigest(),
        settings={},
    )
    return adapter.call(
        entry,
        make_call(
            **{
                "id": f"inv_{name}_{time.monotonic_ns()}",
                "hook": hook,
                **changes,
                **({"event": event} if event is not None else {}),
            }
        ),
    )


def stats(worker: DispatchWorker, name: str) -> Any:
    """What the plugin has counted, by its route."""
    event = {"method": "GET", "path": "/stats", "route": "/stats", "query": {}, "headers": {}, "body": None}
    return call(worker, name, "route", event=event).result["json"]


def signed(body: bytes, message_id: str, **changes: Any) -> dict[str, str]:
    """The headers of a request that the worker accepts."""
    return {
        "content-type": "application/json",
        **signing.sign(body, **{"key": KEY, "message_id": message_id, **changes}),
    }
