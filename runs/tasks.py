"""Celery tasks: doorbells for work that stands in rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from celery import shared_task
from django.db import close_old_connections

from runs import alarms, control, engine
from runs.manifests import broadcasting, ticking


def _own_connections(function: Callable[..., Any]) -> Callable[..., Any]:
    """Threads of a worker keep their connections between tasks; drop those that are too old or broken."""

    @wraps(function)
    def run(*args: Any) -> Any:
        close_old_connections()
        try:
            return function(*args)
        finally:
            close_old_connections()

    return run


@shared_task(name="runs.tasks.drive")
@_own_connections
def drive(run_id: str) -> None:
    """Drive one run, if it is due and nobody else does."""
    engine.drive_due(run_id)


@shared_task(name="runs.tasks.work")
@_own_connections
def work() -> None:
    """Drive whatever is due."""
    alarms.work(linger=alarms.LINGER_SECONDS)


@shared_task(name="runs.tasks.tick_schedules")
@_own_connections
def tick_schedules() -> None:
    """Start the runs of schedules whose slot has come."""
    ticking.tick()


@shared_task(name="runs.tasks.broadcast")
@_own_connections
def broadcast() -> None:
    """Go on with events that resolve waiting runs."""
    broadcasting.work()


@shared_task(name="runs.tasks.retire")
@_own_connections
def retire() -> None:
    """Remove old runs, as the policy says."""
    control.retire_by_policy()
