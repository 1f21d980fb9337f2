"""The server as in production: migrations, a web server, two workers and beat, each a process of its own."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests import server

KEY = "a key for tests only, of enough characters"


class Production:
    """What tests need of a running server, as :class:`tests.server.Server` has it; ``processes`` by name."""

    def __init__(self, port: int, token: str, processes: dict[str, subprocess.Popen[bytes]]) -> None:
        self.url, self.token, self.processes = f"http://127.0.0.1:{port}", token, processes
        headers = {"Authorization": f"Bearer {token}"}
        self.api = httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)


@contextlib.contextmanager
def running(data: Path, database: str, broker: str, **variables: str) -> Iterator[Production]:
    """All of it for the length of a ``with`` block; its output is in files beside ``data``."""
    port = server.free_port()
    given = {
        "ZELAVIS_DATABASE_URL": database,
        "ZELAVIS_BROKER_URL": broker,
        "ZELAVIS_SECRET_KEY": KEY,
        "ZELAVIS_ALLOWED_HOSTS": "127.0.0.1",
        **variables,
    }
    data.mkdir(parents=True, exist_ok=True)
    for command in (("migrate", "-v0"), ("collectstatic", "--no-input", "-v0")):
        process = server.manage(data, *command, **given)
        said = process.communicate()[0]
        assert process.returncode == 0, said
    printed = server.manage(data, "create_token", "tests", "--scope", "*", **given).communicate()[0]
    token = re.search(r"zlv_[A-Za-z0-9_-]+", printed)
    assert token, printed
    programs = Path(sys.executable).parent
    celery = [str(programs / "celery"), "-A", "zelavis"]
    commands = {
        "web": [
            *(str(programs / "granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
            *("--workers", "2", "--blocking-threads", "8", "zelavis.wsgi:application"),
        ],
        "worker-1": [*celery, "worker", "--concurrency", "2", "-n", "one@%h"],
        "worker-2": [*celery, "worker", "--concurrency", "2", "-n", "two@%h"],
        "beat": [*celery, "beat", "-s", str(data / "beat"), "--pidfile", ""],
    }
    with contextlib.ExitStack() as stack:
        processes = {}
        for name, command in commands.items():
            log = stack.enter_context((data / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                command, cwd=server.ROOT, env=server.environment(data, **given), stdout=log, stderr=log
            )
            processes[name] = process
            stack.callback(_end, process)
        production = Production(port, token[0], processes)
        stack.enter_context(production.api)
        server.eventually(lambda: _ready(production), seconds=40, what="readiness")
        yield production


def _ready(production: Production) -> bool:
    try:
        return set(production.api.get("/readyz").json()["checks"].values()) == {"ok"}
    except httpx.TransportError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
