"""Guests run without the core: nobody asks the database in the middle of a call whether a grant still stands."""

from __future__ import annotations

import pytest

from sandbox.capabilities import registry


@pytest.fixture(autouse=True)
def _no_revocations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "REVOCATIONS", [])
