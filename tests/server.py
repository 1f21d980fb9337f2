"""The server as a process: started as a newcomer starts it, used over HTTP."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(data: Path, **variables: str) -> dict[str, str]:
    """The environment of a process on ``data``, free of the tests' own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZELAVIS_", "DJANGO_"))}
    return {**kept, "ZELAVIS_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1", **variables}


def manage(data: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start ``manage.py`` with its output in one pipe."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(data, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def eventually(look: Callable[[], T | None], *, seconds: float = 10, what: str = "it") -> T:
    """The first true answer of ``look``; fails when none came in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.05)


class Server:
    """A running ``manage.py up``."""

    def __init__(self, process: subprocess.Popen[str], port: int, printed: str) -> None:
        self.process = process
        self.printed = printed
        self.browsers: list[Browser] = []
        self.url = f"http://127.0.0.1:{port}"
        login = re.search(r"Login +(\S+) / (\S+)", printed)
        self.user, self.password = login.groups() if login else ("admin", "")
        token = re.search(r"Bearer (zlv_[A-Za-z0-9_-]+)", printed)
        assert token
        self.token = token[1]
        self.api = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=30, trust_env=False
        )

    def browser(self) -> Browser:
        """A signed-in session of the admin, closed with the server."""
        made = Browser(self.url, self.user, self.password)
        self.browsers.append(made)
        return made

    def kill(self) -> None:
        """As the out-of-memory killer would: no warning, and every process of it at once."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=10)


class Browser:
    """What a person does in the admin, without a screen: follow links, fill in forms."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.client = httpx.Client(base_url=url, follow_redirects=True, timeout=30, trust_env=False)
        answer = self.submit("/admin/login/", {"username": user, "password": password, "next": "/admin/"})
        assert "What needs you" in answer.text, answer.text[:500]

    def get(self, path: str) -> httpx.Response:
        """A page; it must be there."""
        answer = self.client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        return answer

    def fill_in(self, path: str, **fields: Any) -> httpx.Response:
        """Open a page, fill in its form and send it, with all that the form carries by itself."""
        form = _Form(path)
        form.feed(self.get(path).text)
        assert form.found, f"{path} has no form to fill in"
        answer = self.client.post(form.target, data={**form.fields, **fields}, headers={"Referer": path})
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        return answer

    def submit(self, path: str, fields: dict[str, Any]) -> httpx.Response:
        """Post a form with the token of the page it stands on."""
        self.client.get(path)
        token = self.client.cookies.get("csrftoken", "")
        return self.client.post(path, data={**fields, "csrfmiddlewaretoken": token}, headers={"Referer": path})


class _Form(HTMLParser):
    """The first form of a page that posts, beside the header's logout form."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.target = path
        self.fields: dict[str, Any] = {}
        self.found = False
        self._inside = False
        self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form" and not self.found:
            self._inside = given.get("method") == "post" and given.get("id") != "logout-form"
            self.found = self._inside
            if self.found:
                self.target = given.get("action") or self.target
        name = given.get("name")
        if not self._inside or not name:
            return
        if tag == "input" and given.get("type") not in ("submit", "checkbox", "radio"):
            self.fields.setdefault(name, []).append(given.get("value") or "")
        elif tag == "textarea":
            self._area = name
            self.fields[name] = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "textarea":
            self._area = ""


@contextlib.contextmanager
def running(data: Path, *arguments: str, port: int | None = None, **variables: str) -> Iterator[Server]:
    """``manage.py up`` on ``data``, ended at the latest on leaving."""
    port = port or free_port()
    process = manage(data, "up", "--port", str(port), *arguments, **variables)
    assert process.stdout is not None
    printed = ""
    drain: threading.Thread | None = None
    try:
        for line in process.stdout:
            printed += line
            if line.startswith("ready"):
                break
        assert "ready (Ctrl-C" in printed, printed
        server = Server(process, port, printed)
        # A pipe that nobody reads fills up, and then the server stands still at its next line of log.
        drain = threading.Thread(target=_drain, args=(process.stdout, server), daemon=True)
        drain.start()
        with server.api:
            yield server
        for browser in server.browsers:
            browser.client.close()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=8)
        if process.poll() is None:
            process.kill()
        process.wait()
        if drain is not None:
            drain.join(timeout=5)
        process.stdout.close()


def _drain(pipe: IO[str], server: Server) -> None:
    with contextlib.suppress(ValueError):
        for line in pipe:
            server.printed += line
