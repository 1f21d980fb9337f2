"""Rules for every test: sockets only to this machine, nothing left of another test's data."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_connect = socket.socket.connect


def _only_loopback(self: socket.socket, address: Any) -> None:
    if self.family != socket.AF_UNIX:
        host = address[0]
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise RuntimeError(f"a test tried to reach {host}")
    return _connect(self, address)


@pytest.fixture(autouse=True, scope="session")
def _no_outside() -> Iterator[None]:
    socket.socket.connect = _only_loopback  # type: ignore[method-assign]
    yield
    socket.socket.connect = _connect  # type: ignore[method-assign]
    from runs.dispatchers import http as tenants
    from zelavis.adapters import http as workers

    # Connections that are kept for the next request, which will not come.
    workers.close()
    tenants.close()


@pytest.fixture(autouse=True, scope="session")
def _nobody_left_in_the_database(request: pytest.FixtureRequest) -> Iterator[None]:
    """PostgreSQL drops no database that a thread of the code under test still has open."""
    if not os.environ.get("ZELAVIS_TEST_DATABASE_URL", "").startswith("postgres"):
        yield
        return
    request.getfixturevalue("django_db_setup")
    yield
    from django.db import connection

    with request.getfixturevalue("django_db_blocker").unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.fixture
def api(db: None) -> Any:
    """An API client with a token of all scopes."""
    from rest_framework.test import APIClient

    from zelavis import tokens

    _, secret = tokens.create("tests", ["*"])
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Any]:
    """A private PostgreSQL for the session (tests.services.PostgreSQL)."""
    from tests import services

    with services.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Any]:
    """A private Redis for the session (tests.services.Redis)."""
    from tests import services

    with services.redis_server() as server:
        yield server


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parent.parent
