"""Hostile matrix B03: deadlines hold after a fork, in the process models that servers have."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery
from django.conf import settings

from tests.sandbox.guests import ROOT
from tests.sandbox.test_processes import process


def test_b03_workers_forked_as_gunicorn_does() -> None:
    """A master with a warm engine forks workers that share its socket; loops and traps end in each of them, and in
    a worker that replaces a killed one."""
    found = process(
        """
import socket, signal
assert healthy() and loop().status == "deadline"
server = socket.create_server(("127.0.0.1", 0))
def worker():
    pid = os.fork()
    if pid:
        return pid
    while True:
        connection, _ = server.accept()
        with connection:
            asked = connection.recv(1)
            started = time.monotonic()
            told = loop(80).status if asked == b"l" else (traps() if asked == b"t" else healthy())
            connection.sendall(json.dumps([told, time.monotonic() - started, os.getpid()]).encode())
def ask(what):
    with socket.create_connection(server.getsockname()) as connection:
        connection.sendall(what)
        return json.loads(connection.recv(1000))
workers = [worker() for _ in range(2)]
answers = []
threads = [threading.Thread(target=lambda: answers.append(ask(b"l"))) for _ in range(6)]
for one in threads: one.start()
for one in threads: one.join()
os.kill(workers[0], signal.SIGKILL)
os.waitpid(workers[0], 0)
workers[0] = worker()
more = [ask(what) for what in (b"l", b"t", b"h", b"l", b"t", b"h")]
for pid in workers:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
server.close()
print(json.dumps([answers, more, healthy()]))
"""
    )
    answers, more, parent = found
    assert [status for status, _, _ in answers] == ["deadline"] * 6
    assert all(0.08 <= seconds < 3 for _, seconds, _ in answers)
    traps = ["unreachable", "stack_overflow", "integer_division_by_zero"]
    assert [told for told, _, _ in more] == ["deadline", traps, True, "deadline", traps, True]
    assert parent is True


@pytest.mark.parametrize("warm", [pytest.param("", marks=pytest.mark.slow), "yes"], ids=["cold-parent", "warm-parent"])
def test_b03_workers_of_celerys_prefork_pool(tmp_path: Path, warm: str) -> None:
    """A real Celery worker with two forked processes ends loops in time and goes on, whether or not its parent had
    an engine before it forked."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "zelavis.settings",
        "ZELAVIS_DATA_DIR": str(settings.DATA_DIR),
        "PREFORK_DIRECTORY": str(tmp_path),
        "PREFORK_WARM": warm,
    }
    for name in ("queue", "results"):
        (tmp_path / name).mkdir()
    client = Celery("prefork", broker="filesystem://", backend=f"file://{tmp_path}/results")
    folders = {name: str(tmp_path / "queue") for name in ("data_folder_in", "data_folder_out", "control_folder")}
    client.conf.broker_transport_options = folders
    asked = [client.send_task("run", ["trouble:loop", 300]) for _ in range(4)]
    asked += [client.send_task("run", ["trouble:healthy", 300]) for _ in range(2)]
    command = [sys.executable, "-m", "celery", "-A", "tests.sandbox.prefork", "worker", "--pool", "prefork", "-c", "2",
               "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "error"]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            found = [one.get(timeout=60, interval=0.05) for one in asked]
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    assert [one["status"] for one in found] == ["deadline"] * 4 + ["ok"] * 2
    assert all(0.3 <= one["seconds"] < 1.5 for one in found[:4])
    assert worker.pid not in {one["pid"] for one in found}
    assert len({one["pid"] for one in found}) == 2
