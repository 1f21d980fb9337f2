"""A plugin worker that is stopped, locked and given other secrets, as processes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.server import ROOT, environment, free_port
from tests.zelavis.adapters.conftest import KEY, make_call, make_entry
from tests.zelavis.adapters.hosted import SOURCE, Worker, adapter, order, process, worker
from zelavis import encryption, workers
from zelavis.adapters import stopping
from zelavis.adapters.base import CallOutcome
from zelavis.models import DispatchWorker

__all__ = ["process", "worker"]
CRON = {"schedule": "s", "cron": "* * * * *", "scheduledAt": "2026-01-01T00:00:00Z"}


@pytest.mark.django_db(transaction=True)
def test_running_calls_end_at_the_worker_too(worker: DispatchWorker) -> None:
    """A stop reaches the worker: the loop there ends within a second, and a withdrawn version is not called again."""
    name = "loops"
    asked = order(worker, name, manifest={"name": name, "version": "1.0.0", "limits": {"deadlineMs": 9000}})
    adapter.deploy(asked)
    assert adapter.activate(asked).status == "active"
    entry = make_entry(name=name, digest=hashlib.sha256(SOURCE).hexdigest(), worker=worker.pk)
    ends: list[tuple[float, CallOutcome]] = []

    def loop() -> None:
        outcome = adapter.call(entry, make_call(id=f"inv_{name}", hook="cron", event=CRON, deadline_ms=9000))
        ends.append((time.monotonic(), outcome))
        connection.close()

    thread = threading.Thread(target=loop)
    thread.start()
    time.sleep(1.5)
    assert ends == []
    assert stopping.tell(worker.pk, name, digest="", withdrawn=True)
    told = time.monotonic()
    thread.join(timeout=20)
    [(ended, outcome)] = ends
    assert outcome.status == "cancelled"
    assert ended - told < 1.0
    refused = adapter.call(entry, make_call(id=f"inv_{name}_2"))
    assert (refused.status, refused.error_code) == ("unreachable", "worker_not_found")


def test_a_second_worker_on_the_same_data_directory_says_so(process: Worker) -> None:
    """Two processes would each keep answers and locks of their own: the second one ends at once, in words."""
    second = subprocess.run(
        [sys.executable, "manage.py", "plugin_worker", "--port", str(free_port())],
        cwd=ROOT, env=environment(process.data, ZELAVIS_WORKER_SECRET=KEY), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert second.returncode != 0
    assert "already runs on" in second.stderr


def test_secrets_are_changed_without_a_moment_of_refusal(tmp_path: Path, make_worker: Callable[..., Any]) -> None:
    """Begin here, change there, end here: every request in between is signed and accepted, either side first."""
    new = "the next key of the tests"
    old_worker = Worker(tmp_path / "w")
    try:
        row = make_worker(f"http://127.0.0.1:{old_worker.port}", takes_uploads=True)
        order_ = order(row, "rotated")
        workers.rotate(row, secret=new, actor="user:a")
        # The worker knows the old key alone.
        adapter.deploy(order_)
        old_worker.stop()
        old_worker.start(ZELAVIS_WORKER_SECRET=new, ZELAVIS_WORKER_SECRET_BEFORE=KEY)
        assert adapter.activate(order_).status == "active"
        workers.settle(row, actor="user:a")
        assert adapter.activate(order(row, "rotated", activation="act_later")).status == "active"
        # A caller that has not heard of the change is still understood, until the worker forgets the old key.
        DispatchWorker.objects.filter(pk=row.pk).update(secret=encryption.seal(KEY))
        row.refresh_from_db()
        assert adapter.activate(order(row, "rotated", activation="act_old")).status == "active"
        old_worker.stop()
        old_worker.start(ZELAVIS_WORKER_SECRET=new)
        refused = adapter.activate(order(row, "rotated", activation="act_refused"))
        assert (refused.status, refused.code) == ("failed", "worker_refused")
    finally:
        old_worker.stop()
