"""Fixtures of the core's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.zelavis.plugs import ScriptedAdapter
from zelavis import adapters, registry


@pytest.fixture(autouse=True)
def _fresh_snapshot() -> Iterator[None]:
    """A rolled-back test must leave no snapshot of its registry behind."""
    registry.forget_snapshot()
    yield
    registry.forget_snapshot()


@pytest.fixture
def scripted() -> Iterator[ScriptedAdapter]:
    """An adapter that says what the test tells it to."""
    adapter = ScriptedAdapter()
    adapters.REGISTRY[adapter.name] = adapter
    yield adapter
    del adapters.REGISTRY[adapter.name]
