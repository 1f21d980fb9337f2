"""``manage.py plugin publish`` against a real server over a line that breaks."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marketplace import publishers
from marketplace.authoring import upload
from marketplace.models import Release, Upload, UploadPart
from tests.marketplace import kit
from tests.marketplace.authoring.test_commands import plugin
from zelavis import tokens

pytestmark = pytest.mark.django_db(transaction=True)


class Line:
    """A line to the server that breaks after so many bytes, as often as it is told to."""

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self.target = (host, int(port))
        self.breaks: list[int] = []
        #: Bytes that went towards the server.
        self.carried = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            near, _ = self.listener.accept()
            if near.recv(1, socket.MSG_PEEK) == b"!":
                near.close()
                return
            far = socket.create_connection(self.target)
            back = threading.Thread(target=self._pump, args=(far, near, None))
            back.start()
            self._pump(near, far, self.breaks.pop(0) if self.breaks else None)
            back.join()
            near.close()
            far.close()

    def _pump(self, source: socket.socket, sink: socket.socket, most: int | None) -> None:
        with contextlib.suppress(OSError):  # the line broke: what this class is for
            while data := source.recv(16_384):
                sink.sendall(data if most is None else data[:most])
                self.carried += len(data) if sink.getpeername()[1] == self.target[1] else 0
                if most is not None and (most := most - len(data)) <= 0:
                    source.shutdown(socket.SHUT_RDWR)
                    break
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with socket.create_connection(self.listener.getsockname()) as last:
            last.sendall(b"!")
        self.thread.join()
        self.listener.close()


@pytest.fixture
def line(live_server: Any) -> Iterator[Line]:
    """A line to Django's own server."""
    made = Line(live_server.url)
    yield made
    made.close()


@pytest.fixture
def token() -> str:
    """Of the owner of ``my-name``, the template's publisher."""
    owner = kit.actor(kit.person("owner"))
    publishers.create("my-name", name="My name", actor=owner)
    return tokens.create("owner's", ["marketplace:publish"], owner=owner.user)[1]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A new plugin with a picture that does not compress: its bundle takes several pieces."""
    assert plugin("new", "page-counter", "--directory", tmp_path)[0] == 0
    (tmp_path / "page-counter" / "noise.bin").write_bytes(random.Random(1).randbytes(700_000))
    return tmp_path / "page-counter"


def test_what_broke_off_goes_on_where_it_stopped(line: Line, token: str, made: Path) -> None:
    """The line breaks in the middle of pieces; each piece is sent on from where the server stands, and it ends well."""
    from marketplace.authoring import project

    line.breaks = [900, 100_000, 300_000, 50_000]
    told: list[int] = []
    content = project.bundle(project.read(str(made)))
    answer = upload.publish(
        content, name="page-counter", publisher="my-name", server=line.url, token=token, wait=float,
        progress=told.append,
    )  # fmt: skip
    assert (answer["state"], answer["digest"]) == ("submitted", Release.objects.get().digest)
    assert told == sorted(set(told))
    assert (told[0], told[-1]) == (0, len(content))
    assert len(told) >= 4
    assert line.breaks == []
    assert not UploadPart.objects.exists()


def test_another_run_goes_on(line: Line, token: str, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that was broken off is run again, and sends only what the server does not have."""
    monkeypatch.setattr(upload, "TRIES", 1)
    line.breaks = [400_000]
    assert plugin("publish", made, "--server", line.url, "--token", token)[0] == 2
    begun = Upload.objects.get()
    # The server stores what it has of a request that broke off.
    first = begun.received
    assert upload.PIECE <= first < begun.size
    line.carried = 0
    code, out, err = plugin("publish", made, "--server", line.url, "--token", token)
    assert (code, "was submitted: submitted" in out) == (0, True), err
    assert Upload.objects.get().pk == begun.pk
    assert 0 < line.carried < begun.size - first + 5000
    again = plugin("publish", made, "--server", line.url, "--token", token)
    assert (again[0], Release.objects.count()) == (0, 1)


def test_a_refusal_names_file_rule_and_advice(line: Line, token: str, made: Path) -> None:
    """What the server refuses is exit code 1 with each finding on a line; it holds no place for open uploads."""
    (made / "deploy.env").write_text("TOKEN=1")
    (made / ".env").write_text("KEY=1")
    code, _, err = plugin("publish", made, "--server", line.url, "--token", token)
    assert code == 1
    assert "422 release_refused" in err
    assert any(text.startswith("  .env: secrets.file: ") for text in err.splitlines()), err
    assert not Upload.objects.exists()
    assert plugin("publish", made, "--server", line.url, "--token", "zlv_wrong")[0] == 1
    assert not Release.objects.exists()


def test_no_server_and_no_token_are_told(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not there, or no token, is one line and exit code 2."""
    monkeypatch.setattr(upload, "FIRST_WAIT", 0)
    monkeypatch.delenv("ZELAVIS_TOKEN", raising=False)
    code, _, err = plugin("publish", made, "--server", "http://127.0.0.1:9", "--token", "zlv_t")
    assert (code, "cannot be reached" in err) == (2, True)
    assert plugin("publish", made, "--server", "http://127.0.0.1:9")[0] == 2
