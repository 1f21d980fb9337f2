"""A Celery application whose only task runs a plugin; for tests of the real prefork pool.

Broker and results are directories (``PREFORK_DIRECTORY``), so that it needs no other process.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import django
from celery import Celery

django.setup()
home = Path(os.environ["PREFORK_DIRECTORY"])
for name in ("queue", "results"):
    (home / name).mkdir(exist_ok=True)
app = Celery("prefork", broker="filesystem://", backend=f"file://{home}/results")
app.conf.broker_transport_options = {
    "data_folder_in": str(home / "queue"),
    "data_folder_out": str(home / "queue"),
    "control_folder": str(home / "queue"),
}
app.conf.worker_prefetch_multiplier = 1


@app.task(name="run")
def run(hook: str, deadline_ms: int) -> dict[str, Any]:
    """One call in a forked worker; how it ended, in which process, and how long it took in seconds."""
    from sandbox.capabilities import registry
    from tests.sandbox.guests import call, trouble

    registry.REVOCATIONS.clear()
    artifact = trouble("javascript")
    call(artifact, "trouble:healthy")
    started = time.monotonic()
    outcome = call(artifact, hook, limits={"deadline_ms": deadline_ms})
    return {"status": outcome.status.value, "pid": os.getpid(), "seconds": time.monotonic() - started}


if os.environ.get("PREFORK_WARM"):
    # The parent has an engine, a ticker and programs of its own before it forks its pool.
    run("trouble:healthy", 1000)
