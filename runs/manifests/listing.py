"""Schedules as the API shows them."""

from __future__ import annotations

from typing import Any

from runs import jsontext, states
from runs.models import Run, Schedule


def schedules(environment: str, *, tenant: str = "") -> list[dict[str, Any]]:
    """Every schedule of an environment; times in milliseconds, absent members left out."""
    rows = list(Schedule.objects.filter(tenant=tenant, environment=environment))
    ended = dict(
        Run.objects.filter(
            pk__in=[row.last_run_id for row in rows if row.last_run_id], status=states.COMPLETED
        ).values_list("pk", "completed_at")
    )
    return [_shown(row, ended.get(row.last_run_id)) for row in rows]


def _shown(row: Schedule, succeeded: int | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "workflowId": row.workflow_id,
        "scheduleId": row.schedule_id,
        "schedule": jsontext.loads(row.declaration),
        "nextRunAt": None if row.paused else row.next_at,
        "enabled": row.enabled,
    }
    optional: dict[str, Any] = {
        "disabledReason": row.disabled_reason or None,
        "paused": row.paused or None,
        "lastFireAt": row.last_fire_at,
        "lastRunId": row.last_run_id or None,
        "lastError": row.last_error or None,
        "lastSkippedAt": row.last_skipped_at,
        "lastSuccessfulRunAt": succeeded or row.last_successful_run_at,
        "stateUpdatedAt": row.updated_at,
    }
    return shown | {name: value for name, value in optional.items() if value is not None}
