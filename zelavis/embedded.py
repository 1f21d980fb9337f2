"""The parts of ``manage.py up``: a web server process, and a worker and beat as threads of this one.

The web server is a child (granian, WSGI): it uses the second core, and a crash of native code there does not take
the worker along. Worker and beat share the in-memory broker, so they share a process. Nothing is lost if any of it
is killed: work stands in the database, and the next start goes on.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from django.conf import settings

logger = logging.getLogger("zelavis.up")
#: Threads of the web server: six of them may follow streams, and slow tenants keep some. Eight would answer 5 % faster.
WEB_THREADS = 16
#: Stack of each of them: plugins run there, and a guest's own stack has to fit (Rust's default is 2 MiB).
STACK_BYTES = 8 << 20
WORKER_THREADS = 4
#: After a stop is asked for: the web server has so long to finish its requests, then it is killed.
GRACE_SECONDS = 2.0
_STARTING_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1


class AlreadyRunning(Exception):
    """Another copy runs on this data directory."""


def can_listen(host: str, port: int) -> str | None:
    """``None`` when a server could listen there now, else the system's reason."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def lock_data_directory(name: str = "up.lock") -> IO[str]:
    """Hold the data directory for this process; released when the file is closed or the process ends.

    Raises:
        AlreadyRunning: another process of this kind holds it.
    """
    path = Path(settings.DATA_DIR) / name
    file = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        other = file.read().strip()
        file.close()
        raise AlreadyRunning(
            f"Zelavis already runs on {settings.DATA_DIR}" + (f" (process {other})." if other else ".")
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


class WebServer:
    """The granian child process."""

    def __init__(self, process: subprocess.Popen[bytes], host: str, port: int, stop: threading.Event) -> None:
        self._process = process
        self._address = ("127.0.0.1" if host in ("0.0.0.0", "") else host, port)  # noqa: S104  compared, not bound
        self._stop = stop

    @property
    def died(self) -> bool:
        """Whether the server ended without being asked to."""
        return self._process.poll() is not None and not self._stop.is_set()

    def wait_until_ready(self) -> bool:
        """Until ``/healthz`` answers; ``False`` when the server ended, took too long, or a stop was asked for."""
        give_up = time.monotonic() + _STARTING_SECONDS
        while time.monotonic() < give_up and self._process.poll() is None and not self._stop.is_set():
            connection = http.client.HTTPConnection(*self._address, timeout=2)
            try:
                connection.request("GET", "/healthz", headers={"Host": "localhost"})
                if connection.getresponse().status == 200:
                    return True
            except OSError:
                time.sleep(0.05)
            finally:
                connection.close()
        return False

    def wait(self, stop: threading.Event) -> None:
        """Until a stop is asked for or the server ends by itself."""
        while not stop.wait(0.25):
            if self._process.poll() is not None:
                return


@contextlib.contextmanager
def web_server(host: str, port: int, *, stop: threading.Event) -> Iterator[WebServer]:
    """Run the web server as a child; end it on leaving."""
    command = [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--host", host, "--port", str(port)),
        *("--workers", "1", "--blocking-threads", str(WEB_THREADS), "--backlog", "1024"),
        *("--workers-kill-timeout", str(int(GRACE_SECONDS)), "--log-level", "error", "--no-ws"),
        "zelavis.wsgi:application",
    ]
    process = subprocess.Popen(  # noqa: S603  our own interpreter and arguments
        command,
        cwd=settings.BASE_DIR,
        env={**os.environ, "ZELAVIS_PARENT_PID": str(os.getpid()), "RUST_MIN_STACK": str(STACK_BYTES)},
        # Its own group: Ctrl-C reaches this process, which then ends the child in order.
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  no threads run yet
    )
    try:
        yield WebServer(process, host, port, stop)
    finally:
        _end(process)


def _die_with_parent() -> None:
    # SIGKILL: granian's handler of SIGTERM can wait for a lock that its own main thread holds, and then it would keep
    # the port for ever. Its workers watch the parent themselves.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS + 0.5)
    # Whatever is left of the group: granian's own worker outlives it when it is stuck in a request.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def worker_and_beat() -> Iterator[None]:
    """Run a Celery worker (threads) and beat in this process, with the doorbell; end them on leaving."""
    from celery.beat import Service
    from celery.worker import WorkController, state

    from zelavis import doorbell, heartbeat
    from zelavis.celery import app

    app.set_default()
    doorbell.worker_is_here = True
    stopped = threading.Event()
    worker = WorkController(
        app=app,
        pool="threads",
        concurrency=WORKER_THREADS,
        hostname="worker@embedded",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        send_events=False,
    )
    beat = Service(app, max_interval=1, scheduler_cls=app.conf.beat_scheduler)
    threads = [
        threading.Thread(target=_run, args=("worker", worker.start), name="worker", daemon=True),
        threading.Thread(target=_run, args=("beat", beat.start), name="beat", daemon=True),
        threading.Thread(target=doorbell.listen, args=(stopped.is_set,), name="doorbell", daemon=True),
    ]
    for thread in threads:
        thread.start()
    # Only Celery's own command sends its ready signal.
    heartbeat.record("worker")
    try:
        yield
    finally:
        stopped.set()
        beat.stop(wait=False)
        state.should_stop = 0  # type: ignore[assignment]
        for thread in threads:
            thread.join(GRACE_SECONDS)


def _run(name: str, work: object) -> None:
    try:
        work()  # type: ignore[operator]
    except SystemExit:
        # How Celery's worker says that it was asked to stop.
        return
    except Exception:
        logger.exception("%s ended", name)


def watch_parent() -> None:
    """In a web process started by ``up``: end when that process is gone, so that none holds the port for ever."""
    parent = int(os.environ.get("ZELAVIS_PARENT_PID", "0"))
    if parent:
        threading.Thread(target=_watch, args=(parent,), name="watch-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while True:
        time.sleep(0.5)
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            os._exit(0)
