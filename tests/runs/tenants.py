"""The unmodified SDK as a tenant: installed once under ``build/``, started as a process of its own."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = Path(__file__).resolve().parent / "tenant"
FILES = ("package.json", "package-lock.json", "server.mjs", "workflows.mjs", "compare.mjs")
SECRET = "shared-dev-secret"


def installed() -> Path:
    """The folder where the tenant can run; npm fetches what the lock file names when it changed."""
    folder = ROOT / "build" / "tenant"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in FILES:
            text = (SOURCE / name).read_bytes()
            if not (folder / name).exists() or (folder / name).read_bytes() != text:
                (folder / name).write_bytes(text)
        wanted = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()
        stamp = folder / ".installed"
        if not stamp.exists() or stamp.read_text() != wanted:
            npm = shutil.which("npm")
            assert npm, "these tests need Node with npm"
            arguments = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(arguments, cwd=folder, check=True, timeout=300)
            stamp.write_text(wanted)
    return folder


class Tenant:
    """A running tenant. ``url`` is what ``ZELAVIS_RUNS_TENANT_URL`` takes."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def step(self, body: bytes, signature: str | None) -> httpx.Response:
        """One step request as the orchestrator sends it."""
        headers = {"content-type": "application/json; charset=utf-8", "x-voyant-protocol": "1"}
        if signature is not None:
            headers["x-voyant-dispatch-auth"] = signature
        return self.http.post("/__voyant/workflow-step", content=body, headers=headers)

    def fault(self, mode: str, *, times: int = 1, value: Any = None, after_running: bool = False) -> None:
        """Answer the next step requests wrongly: ``status``, ``html``, ``text``, ``body``, ``cut`` or ``hang``."""
        body = {"mode": mode, "times": times, "value": value, "afterRunning": after_running}
        self.http.post("/fault", json=body).raise_for_status()

    def manifest(self, environment: str) -> dict[str, Any]:
        """The manifest of the tenant's workflows, as the SDK builds it."""
        return self.http.get(f"/manifest/{environment}").json()  # type: ignore[no-any-return]

    def ran(self, run_id: str) -> Counter[str]:
        """What really ran for a run, from the tenant's own log, with how often."""
        return Counter(line["what"] for line in self.lines(run_id))

    def lines(self, run_id: str = "") -> list[dict[str, Any]]:
        """The tenant's own log: of one run, or all of it."""
        if not self.log.exists():
            return []
        lines = map(json.loads, self.log.read_text(encoding="utf-8").splitlines())
        return [line for line in lines if not run_id or line["run"] == run_id]


def sign(body: bytes, secret: str = SECRET) -> str:
    """The signature of a request body."""
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


@contextlib.contextmanager
def running(log: Path, *, secret: str = SECRET, port: int = 0) -> Iterator[Tenant]:
    """A tenant for the length of a ``with`` block."""
    folder = installed()
    process = subprocess.Popen(
        ["node", "server.mjs", str(port)],
        cwd=folder,
        env={**os.environ, "TENANT_SECRET": secret, "TENANT_LOG": str(log)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        assert first.startswith("listening "), first + process.stdout.read()
        tenant = Tenant(process, int(first.split()[1]), log)
        with tenant.http:
            yield tenant
    finally:
        process.kill()
        process.communicate()
