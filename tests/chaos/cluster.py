"""A whole installation of real processes, each of which can be killed, stopped, cut off or sent to another time.

PostgreSQL, Redis, two web servers, two workers and beats. Every process reaches PostgreSQL and Redis through proxies of
its own. Everything ends with the ``with`` block, and with the process of the suite if that is killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests import server, services
from tests.chaos.proxy import Proxies, Proxy
from tests.runs.production import KEY

LEASE_SECONDS = 2.0


class Part:
    """One process of the installation with its children."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.name, self.command, self.environment, self.log = name, command, environment, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **variables: str) -> None:
        """Start it; ``variables`` are added to its environment for this time only."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                # The kernel kills it when the suite dies, however that dies.
                ["setpriv", "--pdeathsig", "KILL", "--", *self.command],
                cwd=server.ROOT,
                env={**self.environment, **variables},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to it and all its children."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL for all of it."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def stop(self) -> None:
        """As an operator stops it: a warm shutdown, and a hard one for what is left."""
        if self.process is None:
            return
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.kill()


class Cluster:
    """See the module. ``parts`` by name: web-1, web-2, worker-1, worker-2, beat-1 to beat-3 (one runs at first)."""

    def __init__(self, folder: Path, postgresql: services.PostgreSQL, redis: services.Redis, proxies: Proxies) -> None:
        self.folder, self.postgresql, self.redis = folder, postgresql, redis
        self.log = folder / "effects.jsonl"
        self.log.touch()
        self.database_url = postgresql.database("chaos")
        self.proxies: dict[str, Proxy] = {}
        self.parts: dict[str, Part] = {}
        self.urls: dict[str, str] = {}
        self._made = proxies
        self.token = self._prepare()
        for name in ("web-1", "web-2", "worker-1", "worker-2", "beat-1", "beat-2", "beat-3"):
            self.parts[name] = self._part(name)
        for name in self.usual():
            self.parts[name].start()
        self.client = httpx.Client(headers={"Authorization": f"Bearer {self.token}"}, timeout=30, trust_env=False)

    @staticmethod
    def usual() -> list[str]:
        """The parts of an installation at rest."""
        return ["web-1", "web-2", "worker-1", "worker-2", "beat-1"]

    def _given(self, database: str, broker: str) -> dict[str, str]:
        return {
            "ZELAVIS_DATABASE_URL": database,
            "ZELAVIS_BROKER_URL": broker,
            "ZELAVIS_SECRET_KEY": KEY,
            "ZELAVIS_ALLOWED_HOSTS": "127.0.0.1",
            "ZELAVIS_RUNS_LEASE_SECONDS": str(LEASE_SECONDS),
            "ZELAVIS_RUNS_REQUEST_SECONDS": "2",
            "ZELAVIS_RUNS_TENANT_URL": f"http://127.0.0.1:{self.tenant_port}",
            "ZELAVIS_RUNS_TENANT_SECRET": "shared-dev-secret",
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "CHAOS_LOG": str(self.log),
        }

    def _prepare(self) -> str:
        self.tenant_port = server.free_port()
        given = self._given(self.database_url, self.redis.url)
        for command in (("migrate", "-v0"), ("collectstatic", "--no-input", "-v0")):
            process = server.manage(self.folder, *command, **given)
            said = process.communicate()[0]
            assert process.returncode == 0, said
        printed = server.manage(self.folder, "create_token", "chaos", "--scope", "*", **given).communicate()[0]
        token = re.search(r"zlv_[A-Za-z0-9_-]+", printed)
        assert token, printed
        return token[0]

    def _part(self, name: str) -> Part:
        database = self.proxies[f"db {name}"] = self._made.to(self.postgresql.port)
        broker = self.proxies[f"redis {name}"] = self._made.to(self.redis.port)
        given = self._given(
            self.database_url.replace(str(self.postgresql.port), str(database.port)),
            self.redis.url.replace(str(self.redis.port), str(broker.port)),
        )
        kind = name.partition("-")[0]
        inside = [sys.executable, "-m", "tests.chaos.inside", "celery", "-A", "zelavis"]
        if kind == "web":
            port = server.free_port()
            self.urls[name] = f"http://127.0.0.1:{port}"
            command = [
                *(str(Path(sys.executable).parent / "granian"), "--interface", "wsgi", "--host", "127.0.0.1"),
                *("--port", str(port), "--workers", "1", "--blocking-threads", "8", "--respawn-failed-workers"),
                *("--workers-kill-timeout", "5", "zelavis.wsgi:application"),
            ]
        elif kind == "worker":
            command = [*inside, "worker", "--concurrency", "2", "-n", f"{name}@%h"]
            given["CHAOS_CLOCK"] = str(self.clock(name))
        else:
            command = [*inside, "beat", "-s", str(self.folder / name), "--pidfile", ""]
            given["CHAOS_CLOCK"] = str(self.clock(name))
        return Part(name, command, server.environment(self.folder, **given), self.folder / f"{name}.log")

    def clock(self, name: str) -> Path:
        """The file with the jump of a part's wall clock, in seconds."""
        return self.folder / f"{name}.clock"

    def heal(self) -> None:
        """Undo every fault and start what is not there; returns when everything is ready."""
        for proxy in self.proxies.values():
            proxy.heal()
        started = []
        for name, part in self.parts.items():
            self.clock(name).unlink(missing_ok=True)
            if part.alive:
                part.signal(signal.SIGCONT)
            if name in self.usual() and not part.alive:
                part.start()
                started.append(name)
            if name not in self.usual():
                part.kill()
        self.wait_ready()

    def wait_ready(self, *names: str, seconds: float = 40) -> None:
        """Until the web servers answer that they, the database, the worker and beat are well."""
        for name in names or ("web-1", "web-2"):
            server.eventually(lambda name=name: self._ready(name), seconds=seconds, what=f"readiness of {name}")

    def _ready(self, name: str) -> bool:
        try:
            answer = self.client.get(self.urls[name] + "/readyz", timeout=5)
            return set(answer.json()["checks"].values()) == {"ok"}
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    def wait_part(self, name: str, seconds: float = 40) -> None:
        """Until this part has said that it is at work."""
        part = self.parts[name]
        if name.startswith("web"):
            self.wait_ready(name, seconds=seconds)
            return
        assert part.process is not None
        kind, ends = name.partition("-")[0], f"process {part.process.pid}"
        server.eventually(
            lambda: self.rows("SELECT 1 FROM zelavis_heartbeat WHERE name = %s AND detail LIKE %s", kind, f"%{ends}"),
            seconds=seconds,
            what=f"a sign of life of {name}",
        )

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database itself, past every proxy."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(sql, values or None).fetchall()  # type: ignore[arg-type]

    def close(self) -> None:
        """End every process."""
        self.client.close()
        for part in self.parts.values():
            part.kill()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """An installation for the length of a ``with`` block."""
    with contextlib.ExitStack() as stack:
        postgresql = stack.enter_context(services.postgresql())
        redis = stack.enter_context(services.redis_server())
        proxies = Proxies()
        stack.callback(proxies.close)
        cluster = Cluster(folder, postgresql, redis, proxies)
        stack.callback(cluster.close)
        cluster.wait_ready()
        yield cluster


def now() -> float:
    """The clock of the independent log."""
    return time.monotonic()
