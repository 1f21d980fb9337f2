"""Measure: firing a hook with 1, 10 and 100 listeners, and a signed call of a worker beside bare httpx.

    flock /tmp/bench.lock .venv/bin/python -m tests.benchmarks.dispatch [--json]

A database of its own in a temporary directory; the worker is ``manage.py plugin_worker`` as a process.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = {"collection": "x.y", "id": "1", "created": True, "content": {"id": "1", "title": "t", "body": "one two three"}}
MODULE = b"""
export default {
  hooks: { "content:afterSave": async (event, ctx) => ({ ok: true }) },
  routes: { "GET /stats": async () => ({ json: { ok: true } }) },
};
"""


def measured(work: Callable[[], Any], times: int, *, warm: int = 5) -> dict[str, float]:
    """Milliseconds of one call."""
    for _ in range(warm):
        work()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1000)
    taken.sort()
    return {
        "p50": round(statistics.median(taken), 3),
        "p99": round(taken[min(len(taken) - 1, int(len(taken) * 0.99))], 3),
        "per_second": round(1000 / statistics.fmean(taken), 1),
    }


def firing(results: dict[str, Any]) -> None:
    """``hooks.fire`` with real plugins in the sandbox, ledger rows included; then with nobody listening."""
    from sandbox import compiler
    from tests.zelavis.plugs import serve
    from zelavis import hooks
    from zelavis.models import Deployment

    digest = compiler.deploy(MODULE, kind="javascript", grants={}).digest
    results["fire, nobody listens"] = measured(lambda: hooks.fire("content:afterSave", PAGE), 500)
    served = 0
    for wanted in (1, 10, 100):
        while served < wanted:
            serve(f"bench-{served:03}", adapter="sandbox", hooks=["content:afterSave"])
            served += 1
        Deployment.objects.update(entry_digest=digest)
        from zelavis import registry

        registry.forget_snapshot()
        outcomes = hooks.fire("content:afterSave", PAGE).outcomes
        assert {outcome.status for outcome in outcomes} == {"ok"}, outcomes[0]
        found = measured(lambda: hooks.fire("content:afterSave", PAGE), 300 if wanted < 100 else 60)
        results[f"fire, {wanted} listening"] = {**found, "p50_each": round(found["p50"] / wanted, 3)}


def dispatching(results: dict[str, Any], data: Path) -> None:
    """A signed round trip to a worker process, beside a bare httpx one to the same process."""
    import httpx

    from tests.server import environment, eventually, free_port
    from zelavis import encryption
    from zelavis.adapters.dispatch import CALL, DEPLOY, send
    from zelavis.adapters.http import exchange
    from zelavis.models import DispatchNamespace, DispatchWorker

    port, secret = free_port(), secrets.token_hex(20)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "plugin_worker", "--port", str(port)],
        cwd=ROOT, env=environment(data, ZELAVIS_WORKER_SECRET=secret), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:

        def alive() -> bool:
            try:
                return httpx.get(f"{url}/healthz").status_code == 200
            except httpx.TransportError:
                return False

        eventually(alive, seconds=30, what="the worker")
        namespace = DispatchNamespace.objects.create(name="bench")
        worker = DispatchWorker.objects.create(
            namespace=namespace, name="one-worker", base_url=url, secret=encryption.seal(secret), takes_uploads=True
        )
        with httpx.Client() as client:
            results["bare httpx, GET /healthz"] = measured(lambda: client.get(f"{url}/healthz"), 500)
        results["ours, GET /healthz"] = measured(
            lambda: exchange("GET", f"{url}/healthz", b"", key="", message_id="m", timeout_ms=5000, max_bytes=1 << 20),
            500,
        )
        import base64
        import hashlib

        from tests.zelavis.plugs import manifest

        digest = hashlib.sha256(MODULE).hexdigest()
        document = {
            "name": "bench-remote", "version": "1.0.0", "digest": digest, "kind": "javascript", "grants": {},
            "manifest": manifest("bench-remote", hooks=["content:afterSave"]),
            "source": base64.b64encode(MODULE).decode(),
        }  # fmt: skip
        assert send(worker, DEPLOY, document, message_id="dep_1").status == 200
        activate = {"pluginName": "bench-remote", "action": "install", "registry": []}
        reply = send(worker, "/__zelavis/plugin/activate", activate, message_id="act_1")
        assert reply.status == 200, reply.body

        def call() -> None:
            call_id = f"inv_{secrets.token_hex(12)}"
            asked = {
                "id": call_id, "hook": "content:afterSave", "event": PAGE, "deadlineMs": 250,
                "plugin": {"name": "bench-remote", "version": "1.0.0", "digest": digest}, "settings": {},
            }  # fmt: skip
            reply = send(worker, CALL, asked, message_id=call_id)
            assert json.loads(reply.body)["status"] == "ok", reply.body

        results["signed call of a plugin in a worker"] = measured(call, 300)
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="zelavis-bench-"))
    os.environ["ZELAVIS_DATA_DIR"] = str(folder / "here")
    os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
    sys.path.insert(0, str(ROOT))
    import django
    from django.core.management import call_command

    django.setup()
    try:
        call_command("migrate", verbosity=0)
        results: dict[str, Any] = {}
        firing(results)
        dispatching(results, folder / "there")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        print(json.dumps(results, indent=1))
    else:
        for name, found in results.items():
            print(f"{name:40}" + "  ".join(f"{member} {value:>9}" for member, value in found.items()))


if __name__ == "__main__":
    main()
