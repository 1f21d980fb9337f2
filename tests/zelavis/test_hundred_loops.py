"""A hundred calls that loop are sent at once: what else the server is asked, it answers, and each of them ends."""

from __future__ import annotations

import collections
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server import ROOT, environment, eventually, free_port

CALLS = 100
PAGE = {"collection": "flatpages.flatpage", "id": "1", "content": {"id": "1", "title": "About"}}
_PREPARE = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
django.setup()
from pathlib import Path
from django.core.management import call_command
call_command("migrate", verbosity=0)
from tests.zelavis.releases import approved, looper
from zelavis import activation, tokens
looper(Path(sys.argv[1]), deadline_ms=int(sys.argv[2]))
approved(Path(sys.argv[1]), name="counter", hooks=[], limits={"deadlineMs": 5_000})
for name in ("looper", "counter"):
    activation.install(name, actor="user:a", implied=True)
print(tokens.create("tests", ["*"])[1])
"""


@contextmanager
def server(folder: Path, *, threads: int, slots: int, deadline_ms: int) -> Iterator[httpx.Client]:
    """One web process on its own database, in which ``looper`` and ``counter`` serve and were called once."""
    made = subprocess.run(
        [sys.executable, "-c", _PREPARE, str(folder / "releases"), str(deadline_ms)],
        cwd=ROOT, check=True, env={**environment(folder / "data"), "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
         "--workers", "1", "--blocking-threads", str(threads), "--backlog", "1024", "--log-level", "error", "--no-ws",
         "zelavis.wsgi:application"],
        cwd=ROOT, env=environment(folder / "data", ZELAVIS_SANDBOX_SLOTS=str(slots)), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {made.stdout.split()[-1]}"},
        timeout=60, trust_env=False, limits=httpx.Limits(max_connections=2 * CALLS),
    )  # fmt: skip

    def ready() -> bool:
        try:
            return client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(ready, seconds=60, what="the server's start")
        assert client.get("/plugins/counter/stats").status_code == 200
        client.post("/api/hooks/content:afterSave", json={"event": {**PAGE, "created": True}})
        yield client
    finally:
        client.close()
        # Its worker too, which outlives the server that started it.
        os.killpg(process.pid, 9)
        process.wait()


class Storm:
    """The calls that loop, each in a thread, and how each ended."""

    def __init__(self, client: httpx.Client) -> None:
        self.outcomes: list[dict[str, Any]] = []
        #: When each was running for certain, on the monotonic clock.
        self.spans: list[tuple[float, float]] = []
        self._client = client
        self._threads = [threading.Thread(target=self._ask) for _ in range(CALLS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        answer = self._client.post("/api/hooks/content:afterSave", json={"event": PAGE})
        ended = time.monotonic()
        assert answer.status_code == 200, answer.text
        [outcome] = answer.json()["outcomes"]
        self.outcomes.append(outcome)
        self.spans.append((ended - outcome["durationMs"] / 1000, ended))

    def goes_on(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def ends(self) -> collections.Counter[tuple[str, str]]:
        """How many ended how, once all have."""
        for thread in self._threads:
            thread.join(timeout=60)
        assert len(self.outcomes) == CALLS
        return collections.Counter((one["status"], one["code"]) for one in self.outcomes)


def probe(client: httpx.Client, storm: Storm) -> list[float]:
    """Ask for health and call another plugin until the storm is over; seconds that the answers took in its midst,
    after a hundred requests have begun and before the first of them ends."""
    took, midst = [], time.monotonic() + 3
    while storm.goes_on():
        for path in ("/healthz", "/plugins/counter/stats"):
            began = time.monotonic()
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.text)
            if began > midst and not storm.outcomes:
                took.append(time.monotonic() - began)
        time.sleep(0.1)
    return took


@pytest.mark.chaos
def test_h13_a_hundred_loops_at_once_leave_the_host_healthy(tmp_path: Path) -> None:
    """With a thread and a slot for each, all loop at once until their deadline; others are answered meanwhile."""
    with server(tmp_path, threads=CALLS + 16, slots=CALLS + 16, deadline_ms=8_000) as client:
        storm = Storm(client)
        took = probe(client, storm)
        assert storm.ends() == {("deadline", "deadline"): CALLS}
        # There was a moment at which every one of them was running.
        assert max(begun for begun, _ in storm.spans) < min(ended for _, ended in storm.spans)
        assert len(took) >= 4
        assert statistics.median(took) < 0.5, took
        assert client.get("/readyz").status_code == 200


@pytest.mark.chaos
def test_h13_a_hundred_loops_do_not_hold_a_server_of_sixteen_threads(tmp_path: Path) -> None:
    """As ``up`` starts it: sixteen loop to their deadline, the breaker opens, the others are refused by type."""
    with server(tmp_path, threads=16, slots=64, deadline_ms=1_000) as client:
        storm = Storm(client)
        probe(client, storm)
        ends = storm.ends()
        assert set(ends) == {("deadline", "deadline"), ("resting", "plugin_resting")}, ends
        assert ends["resting", "plugin_resting"] >= CALLS / 2, ends
        assert client.get("/api/plugins/looper/breaker").json()["open"] is True
        assert client.get("/plugins/counter/stats").status_code == 200
