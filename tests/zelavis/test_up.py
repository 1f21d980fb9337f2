"""``manage.py up`` as a newcomer starts it."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.server import free_port, manage, running


def test_it_starts_says_how_to_use_it_and_stops(tmp_path: Path) -> None:
    """One command starts everything, prints a login and curl lines that work, and Ctrl-C ends it in five seconds."""
    port = free_port()
    with running(tmp_path, port=port) as server:
        process, printed = server.process, server.printed
        assert re.search(r"Login +admin / \S{12,}", printed)
        lines = [line.strip() for line in printed.splitlines() if line.strip().startswith("curl ")]
        assert len(lines) == 3
        for line in lines:
            answer = subprocess.run(["bash", "-c", f"{line} -s -S -f"], capture_output=True, text=True)
            assert answer.returncode == 0, line + answer.stderr
        second = manage(tmp_path, "up", "--port", str(free_port()))
        assert "already runs" in second.communicate(timeout=30)[0]
        assert second.returncode == 1
        taken = manage(tmp_path, "up", "--port", str(port))
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
    with running(tmp_path, "--no-demo", port=port) as server:
        server.kill()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            time.sleep(0.1)
            continue
        break
    with running(tmp_path, "--no-demo", port=port) as server:
        assert "its password was printed at the first start" in server.printed
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=10) == 0


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
    process = manage(tmp_path, "up", **variables)
    printed = process.communicate(timeout=30)[0]
    assert process.returncode == 1
    assert said in printed
    assert "Traceback" not in printed
