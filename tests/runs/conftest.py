"""What tests of durable runs share: drivers, tenants and short policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runs import alarms, engine, inbox, lifecycle, policy, records, registry


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


def wake(now: int | None = None) -> int:
    """Drive whatever is due."""
    return alarms.work()
