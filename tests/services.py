"""Real PostgreSQL and Redis for tests: private, on free loopback ports, started, stopped and broken here.

Both come from Debian packages. PostgreSQL refuses to run as root, so as root it runs as the ``postgres`` user.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import redis

from tests.server import free_port


def postgresql_binaries() -> Path | None:
    """The newest installed server, or ``None``."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class PostgreSQL:
    """A private cluster with fsync on. ``url`` is for psycopg and for ``ZELAVIS_DATABASE_URL``."""

    def __init__(self) -> None:
        binaries = postgresql_binaries()
        assert binaries, "PostgreSQL is not installed"
        self._binaries = binaries
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="zelavis-pg-"))
        self.folder.chmod(0o755)
        self._data = self.folder / "data"
        self._data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            shutil.chown(self._data, "postgres", "postgres")
        self._run("initdb", "-D", str(self._data), "-U", "zelavis", "-A", "trust", "-E", "UTF8", "--no-locale")
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "max_connections": 200,
            "log_min_messages": "fatal",
        }
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in options.items())
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://zelavis@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start and wait until it answers."""
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self.folder / "log"), "-w", "-t", "30", "start")

    def stop(self, mode: str = "fast") -> None:
        """``mode``: ``smart``, ``fast`` or ``immediate`` (as after a crash)."""
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def restart(self, mode: str = "immediate") -> None:
        """Crash and come back."""
        self.stop(mode)
        self.start()

    def database(self, name: str) -> str:
        """A new, empty database; its URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://zelavis@127.0.0.1:{self.port}/{name}"

    def terminate_connections(self) -> int:
        """Cut every client but this one; how many."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            rows = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchall()
        return len(rows)

    def close(self) -> None:
        """Stop and remove."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--", *command]
        # The server keeps its standard streams: pipes would never end.
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder)


class Redis:
    """A private Redis without persistence. ``url`` is for ``ZELAVIS_BROKER_URL``."""

    def __init__(self) -> None:
        assert shutil.which("redis-server"), "Redis is not installed"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start and wait until it answers."""
        self._process = subprocess.Popen(
            [*("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""), "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=tempfile.gettempdir(),
        )
        deadline = time.monotonic() + 10
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    assert time.monotonic() < deadline, "Redis did not start"
                    time.sleep(0.02)
                else:
                    return

    def stop(self) -> None:
        """Gone at once, with all it held."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def flush(self) -> None:
        """Forget everything: every waiting message is lost."""
        with redis.Redis(port=self.port) as client:
            client.flushall()

    close = stop


@contextlib.contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """A cluster for the length of a ``with`` block."""
    server = PostgreSQL()
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def redis_server() -> Iterator[Redis]:
    """A Redis for the length of a ``with`` block."""
    server = Redis()
    try:
        yield server
    finally:
        server.close()
