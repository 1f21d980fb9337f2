"""Whole servers for the HTTP rows: the Node tenant, the seed's adapter, and Zelavis embedded or in production shape."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import server, services
from tests.benchmarks import peers
from tests.benchmarks.harness import ROOT

BIN = Path(sys.executable).parent
SECRET = "benchmark-dispatch-secret-0123456789"
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@contextlib.contextmanager
def node(name: str, *arguments: str, **variables: str) -> Iterator[str]:
    """A Node peer that listens and says where; its base URL."""
    program = peers.node_program(name)
    process = subprocess.Popen(
        ["node", str(program), "0", *arguments],
        env={**os.environ, "TENANT_SECRET": SECRET, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("listening "):
            raise peers.Missing(f"{name} does not start")
        yield f"http://127.0.0.1:{line.split()[1]}"
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def embedded(tenant: str) -> Iterator[server.Server]:
    """``manage.py up`` on SQLite."""
    variables = {
        "ZELAVIS_RUNS_TENANT_URL": tenant,
        "ZELAVIS_RUNS_TENANT_SECRET": SECRET,
        "ZELAVIS_LOG_LEVEL": "WARNING",
    }
    with tempfile.TemporaryDirectory() as name, server.running(Path(name), "--no-demo", **variables) as running:
        yield running


@dataclass
class Production:
    """PostgreSQL, Redis, web processes, workers and beat, each a process."""

    urls: list[str]
    token: str
    database: str
    variables: dict[str, str]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    beat: subprocess.Popen[bytes] | None = None


def _manage(variables: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=variables, capture_output=True, text=True
    )
    if done.returncode:
        raise peers.Missing(f"manage.py {arguments[0]}: {done.stderr.strip()[-200:]}")
    return done.stdout


@contextlib.contextmanager
def production(
    tenant: str, *, web: int = 2, workers: int = 1, pool: str = "threads", **more: str
) -> Iterator[Production]:
    """Start everything as docs/howto/run-in-production.md says, with ``web`` web servers on ports of their own."""
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as name, services.postgresql() as database, services.redis_server() as redis:
        url = database.database("bench")
        variables = server.environment(
            Path(name),
            ZELAVIS_DATABASE_URL=url,
            ZELAVIS_BROKER_URL=redis.url,
            ZELAVIS_SECRET_KEY="benchmark-" * 5,
            ZELAVIS_ALLOWED_HOSTS="127.0.0.1",
            ZELAVIS_LOG_LEVEL="WARNING",
            ZELAVIS_RUNS_TENANT_URL=tenant,
            ZELAVIS_RUNS_TENANT_SECRET=SECRET,
            **more,
        )
        try:
            _manage(variables, "migrate", "--verbosity", "0")
            token = _token(_manage(variables, "create_token", "bench", "--scope", "runs:read", "--scope", "runs:write"))
            made = Production([], token, url, variables)
            for _ in range(web):
                port = services.free_port()
                command = [str(BIN / "granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
                command += ["--workers", "1", "--blocking-threads", "16", "--no-ws", "zelavis.wsgi:application"]
                started.append(subprocess.Popen(command, cwd=ROOT, env=variables, **QUIET))
                made.urls.append(f"http://127.0.0.1:{port}")
            for number in range(workers):
                command = [str(BIN / "celery"), "-A", "zelavis", "worker", "--pool", pool, "--concurrency", "8"]
                command += ["-n", f"bench{number}@%h", "--loglevel", "ERROR"]
                made.workers.append(subprocess.Popen(command, cwd=ROOT, env=variables, start_new_session=True, **QUIET))
            schedule = [str(BIN / "celery"), "-A", "zelavis", "beat", "--loglevel", "ERROR", "--pidfile", ""]
            made.beat = subprocess.Popen(schedule, cwd=ROOT, env=variables, **QUIET)
            started.append(made.beat)
            started += made.workers
            for base in made.urls:
                _until_ready(base)
            yield made
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                try:
                    process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _token(printed: str) -> str:
    return next(word for word in printed.split() if word.startswith("zlv_"))


def _until_ready(base: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"{base}/healthz", timeout=1):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise peers.Missing("the web server did not start") from None
            time.sleep(0.1)
