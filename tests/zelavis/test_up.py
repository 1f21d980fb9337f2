"""``manage.py up`` as a newcomer starts it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(data: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ZELAVIS_", "DJANGO_"))}
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**environment, "ZELAVIS_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextlib.contextmanager
def running(data: Path, port: int, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = command(data, "up", "--port", str(port), *arguments)
    assert process.stdout is not None
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if line.startswith("ready"):
                break
        assert "ready" in printed, printed
        yield process, printed
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_it_starts_says_how_to_use_it_and_stops(tmp_path: Path) -> None:
    """One command starts everything, prints a login and curl lines that work, and Ctrl-C ends it in five seconds."""
    port = free_port()
    with running(tmp_path, port) as (process, printed):
        assert re.search(r"Login +admin / \S{12,}", printed)
        lines = [line.strip() for line in printed.splitlines() if line.strip().startswith("curl ")]
        assert len(lines) == 3
        for line in lines:
            answer = subprocess.run(["bash", "-c", f"{line} -s -S -f"], capture_output=True, text=True)
            assert answer.returncode == 0, line + answer.stderr
        second = command(tmp_path, "up", "--port", str(free_port()))
        assert "already runs" in second.communicate(timeout=30)[0]
        assert second.returncode == 1
        taken = command(tmp_path, "up", "--port", str(port))
        assert f"Port {port} on 127.0.0.1 is taken" in taken.communicate(timeout=30)[0]
        assert taken.returncode == 1
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - asked < 5
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/healthz")


def test_a_killed_server_frees_its_port(tmp_path: Path) -> None:
    """After kill -9 of the command its web server is gone too, and the next start takes the same port and password."""
    port = free_port()
    with running(tmp_path, port, "--no-demo") as (process, _):
        process.kill()
        process.wait()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            time.sleep(0.1)
            continue
        break
    with running(tmp_path, port, "--no-demo") as (process, printed):
        assert "its password was printed at the first start" in printed
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ZELAVIS_DEBUG": "perhaps"}, "ZELAVIS_DEBUG"),
        ({"ZELAVIS_RUNS_TENANT_URL": "http://127.0.0.1:9"}, "ZELAVIS_RUNS_TENANT_SECRET"),
        ({"ZELAVIS_DATABASE_URL": "postgresql://h/n"}, "ZELAVIS_BROKER_URL"),
    ],
)
def test_a_wrong_setting_is_told_at_once(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    """A wrong or half configuration ends the start with exit code 1 and the variable's name, without a traceback."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ZELAVIS_", "DJANGO_"))}
    answer = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env={**environment, "ZELAVIS_DATA_DIR": str(tmp_path), **variables},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 1
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
