"""Guests run without the core: nobody asks the database whether a grant still stands, or what is secret."""

from __future__ import annotations

import pytest

from sandbox import tape
from sandbox.capabilities import registry


@pytest.fixture(autouse=True)
def _without_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "REVOCATIONS", [])
    monkeypatch.setattr(tape, "HIDDEN_SETTINGS", [])
