"""The doorbell."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest
from django.db import transaction

from zelavis import doorbell

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def embedded(settings: Any, tmp_path: Any) -> None:
    settings.CELERY_BROKER_URL = "memory://localhost/"
    settings.DATA_DIR = tmp_path


def test_it_rings_after_commit_and_not_after_rollback(embedded: None) -> None:
    """A bell inside a transaction is heard when that commits, and never when it rolls back."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(doorbell.address())
        receiver.settimeout(0.2)
        with transaction.atomic():
            doorbell.ring("some.task", "run_1")
            with pytest.raises(TimeoutError):
                receiver.recv(1000)
        assert json.loads(receiver.recv(1000)) == ["some.task", ["run_1"]]
        with transaction.atomic():
            doorbell.ring("some.task", "run_2")
            transaction.set_rollback(True)
        with pytest.raises(TimeoutError):
            receiver.recv(1000)


def test_nobody_listening_is_nobodys_error(embedded: None) -> None:
    """With no worker there the caller goes on: the sweep will find the work."""
    doorbell.ring("some.task", "run_1")


def test_the_listener_passes_messages_on(embedded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives on the socket goes to the queue of the worker's process; noise is ignored."""
    heard: list[Any] = []
    arrived, stop = threading.Event(), threading.Event()

    def send(task: str, args: Any) -> None:
        heard.append((task, args))
        arrived.set()

    monkeypatch.setattr(doorbell, "send", send)
    listener = threading.Thread(target=doorbell.listen, args=(stop.is_set,))
    listener.start()
    try:
        for _ in range(100):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                try:
                    sender.sendto(b"not json", doorbell.address())
                    break
                except (FileNotFoundError, ConnectionRefusedError):
                    threading.Event().wait(0.01)
        doorbell.ring("some.task", "run_1")
        assert arrived.wait(3)
    finally:
        stop.set()
        listener.join()
    assert heard == [("some.task", ["run_1"])]


def test_a_long_data_directory_has_a_short_address(settings: Any, tmp_path: Any) -> None:
    """A socket's path has to be short; a data directory may be long."""
    settings.DATA_DIR = tmp_path / ("x" * 120)
    assert len(doorbell.address()) < 100
