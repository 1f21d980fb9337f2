"""The doorbell: "look into the database now". It may be lost or rung twice, and nothing breaks.

Work stands in rows; a message only shortens the wait for the next sweep. With a broker that crosses processes the
bell is a Celery message. With the in-memory broker of ``manage.py up`` the web server and the worker are different
processes, so the bell is a datagram to a socket beside the database, where the worker process listens.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import socket
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction

logger = logging.getLogger("zelavis.doorbell")
#: Set by ``manage.py up`` in the process where the worker runs: the in-memory queue is here.
worker_is_here = False
#: A bell that nobody took for so long is thrown away. By the worker's clock: an hour between two hosts must not matter.
_EXPIRES_SECONDS = 7200
#: After a bell that could not ring, none is tried for so long.
_SILENT_SECONDS = 2.0
_silent_until = 0.0


def ring(task: str, *args: str) -> None:
    """Ring after the current transaction commits; at once outside of one. ``args`` are identifiers, never payload."""
    transaction.on_commit(partial(_ring, task, args))


def _ring(task: str, args: tuple[str, ...]) -> None:
    global _silent_until
    if time.monotonic() < _silent_until:
        return
    try:
        if settings.CELERY_BROKER_URL.startswith("memory") and not worker_is_here:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(0)
                sender.sendto(json.dumps([task, args]).encode(), address())
        else:
            send(task, args)
    except Exception as error:  # noqa: BLE001  a bell that cannot ring is the sweep's work, never the caller's error
        # A broker that is away is not asked again for each bell; the sweep finds what was meant.
        if not settings.CELERY_BROKER_URL.startswith("memory"):
            _silent_until = time.monotonic() + _SILENT_SECONDS
        logger.info("doorbell not rung", extra={"task": task, "reason": str(error)})


def send(task: str, args: tuple[str, ...] | list[str]) -> None:
    """Put the message on the Celery queue."""
    from zelavis.celery import app

    app.send_task(task, args=list(args), ignore_result=True, expires=_EXPIRES_SECONDS, retry=False)


def address() -> str:
    """Path of the datagram socket: in the data directory, or a short name when that path is too long for one."""
    path = Path(settings.DATA_DIR) / "doorbell"
    if len(str(path)) < 100:
        return str(path)
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return str(Path(tempfile.gettempdir()) / f"zelavis-{digest}")


def listen(stopped: Callable[[], bool]) -> None:
    """Pass datagrams on to the Celery queue of this process until ``stopped()``."""
    with contextlib.suppress(FileNotFoundError):
        Path(address()).unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address())
        Path(address()).chmod(0o600)
        receiver.settimeout(0.25)
        while not stopped():
            try:
                task, args = json.loads(receiver.recv(65536))
            except TimeoutError:
                continue
            except ValueError:
                continue
            try:
                send(task, args)
            except Exception:
                logger.exception("doorbell message not passed on")
    with contextlib.suppress(FileNotFoundError):
        Path(address()).unlink()
