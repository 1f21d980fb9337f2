"""Each behaviour is proved on both backends: memory and database."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.capabilities.backends.database import DatabaseBackend
from sandbox.capabilities.backends.memory import MemoryBackend


@pytest.fixture(params=["memory", pytest.param("database", marks=pytest.mark.django_db)])
def backend(request: pytest.FixtureRequest) -> Any:
    """An empty backend of each kind."""
    if request.param == "memory":
        return MemoryBackend()
    request.getfixturevalue("db")
    return DatabaseBackend()
