"""What tests of durable runs share: drivers, tenants and short policies."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from runs import alarms, engine, inbox, leases, lifecycle, policy, records, registry
from runs.dispatchers import http
from runs.models import Run, Waitpoint
from tests.runs import scripted
from tests.runs.npm import house

__all__ = ["house"]


@pytest.fixture(autouse=True)
def _no_claims_left() -> Iterator[None]:
    """A claim that a test leaves behind is not kept alive into the next."""
    yield
    leases._claims.clear()


@pytest.fixture
def rules(settings: Any) -> Iterator[Callable[..., None]]:
    """Set numbers of the policy for one test."""

    def set_(**numbers: Any) -> None:
        settings.RUNS = {**getattr(settings, "RUNS", {}), **numbers}
        policy.reset()

    yield set_
    policy.reset()


@pytest.fixture
def workflow() -> Iterator[Callable[..., Any]]:
    """Register workflows for one test only."""
    before = dict(registry._known)
    yield registry.workflow
    registry._known.clear()
    registry._known.update(before)


@pytest.fixture
def threads_database(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    """For tests with threads: SQLite in memory locks whole tables between connections and gives up at once, so here
    it is the file that an installation has. PostgreSQL is used as it is."""
    if connection.vendor != "sqlite":
        yield
        return
    before, path = connection.settings_dict["NAME"], tmp_path / "threads.sqlite3"
    connection.ensure_connection()
    with contextlib.closing(sqlite3.connect(path)) as copy:
        connection.connection.backup(copy)
    memory, connection.connection = connection.connection, None
    connection.settings_dict["NAME"] = str(path)
    yield
    connection.close()
    connection.settings_dict["NAME"], connection.connection = before, memory


def run(workflow_id: str, **arguments: Any) -> dict[str, Any]:
    """Trigger a run, drive it here, and give its record."""
    triggered = lifecycle.trigger(workflow_id, claim=True, **arguments)
    if triggered.held is not None:
        engine.drive(triggered.held)
    return records.load(triggered.run_id)


def send(run_id: str, kind: str, key: str, **arguments: Any) -> dict[str, Any]:
    """Inject, drive here, and give the record."""
    receipt = inbox.inject(run_id, kind, key, claim=True, **arguments)
    if receipt.held is not None:
        engine.drive(receipt.held)
    return records.load(run_id)


def statuses(run_id: str) -> str:
    """The run's status."""
    return str(records.load(run_id)["status"])


def wake(now: int | None = None) -> int:
    """Drive whatever is due."""
    return alarms.work()


@pytest.fixture
def tenant(settings: Any) -> Iterator[scripted.Tenant]:
    """The default HTTP tenant of this test, signed with ``shared-dev-secret``."""
    with scripted.serving() as serving:
        settings.ENVIRONMENT = dataclasses.replace(
            settings.ENVIRONMENT, runs_tenant_url=serving.url, runs_tenant_secret="shared-dev-secret"
        )
        yield serving
        http.close()


def due_now(run_id: str) -> None:
    """Let a retry or an alarm of this run be due."""
    Run.objects.filter(pk=run_id, wake_at__isnull=False).update(wake_at=1)
    Waitpoint.objects.filter(run_id=run_id, state="pending", wake_at__isnull=False).update(wake_at=1)
