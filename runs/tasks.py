"""Celery tasks: doorbells for work that stands in rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from celery import shared_task
from django.db import close_old_connections

from runs import alarms, engine


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
    alarms.work()
