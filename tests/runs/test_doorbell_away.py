"""A broker that is away costs callers nothing worth mentioning."""

from __future__ import annotations

import time
from typing import Any

import pytest

from zelavis import doorbell


def test_a_broker_that_is_away_does_not_hold_up_its_callers(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first bell gives up within a second and the next are not even tried; a sweep finds what was meant."""
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    tried: list[str] = []

    def away(task: str, args: Any) -> None:
        tried.append(task)
        raise ConnectionRefusedError

    monkeypatch.setattr(doorbell, "send", away)
    monkeypatch.setattr(doorbell, "_silent_until", 0.0)
    began = time.monotonic()
    for _ in range(100):
        doorbell._ring("runs.tasks.drive", ("x",))
    assert time.monotonic() - began < 1
    assert tried == ["runs.tasks.drive"]
