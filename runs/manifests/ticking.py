"""The clock of schedules: rows whose slot has come start their run, once, and move on to the next slot."""

from __future__ import annotations

import logging

from django.db import DatabaseError, transaction
from django.db.models import Min, QuerySet

from runs import clock, jsontext, lifecycle, states
from runs.jsontext import ABSENT
from runs.manifests import schedules
from runs.manifests.ingesting import run_id
from runs.models import Run, Schedule
from zelavis import audit, doorbell
from zelavis.errors import ZelavisError

logger = logging.getLogger("runs.schedules")
#: A slot later than this was missed: nobody looked at its time.
GRACE_MS = 60_000
#: Schedules handled by one call.
_BATCH = 200


def seconds_until_next() -> float | None:
    """Seconds until the next slot; 0 or less: overdue; ``None``: nothing is scheduled."""
    earliest = _live().aggregate(at=Min("next_at"))["at"]
    return None if earliest is None else (earliest - clock.now_ms()) / 1000


def tick(*, now: int | None = None) -> int:
    """Handle every slot that has come; returns how many runs were started. One broken schedule stops no other."""
    moment = clock.now_ms() if now is None else now
    due = list(_live().filter(next_at__lte=moment).order_by("next_at", "id")[:_BATCH])
    fired = 0
    for schedule in due:
        try:
            fired += fire(schedule, now=moment)
        except DatabaseError:
            raise
        except Exception as error:
            # Whatever is wrong with this one, the others are due too. It is told where somebody will look.
            logger.exception("schedule failed", extra={"schedule": schedule.schedule_id})
            _move_on(schedule, moment, {"last_error": f"{type(error).__name__}: {error}"[:2000]})
    if len(due) == _BATCH:
        doorbell.ring("runs.tasks.tick_schedules")
    return fired


def fire(schedule: Schedule, *, now: int) -> bool:
    """Handle the slot of one schedule; whether a run was started. Of several callers one does it."""
    assert schedule.next_at is not None
    declared = schedules.parse(jsontext.loads(schedule.declaration))
    slot = declared.slot_to_fire(schedule.next_at, now, grace_ms=GRACE_MS)
    if slot is None:
        _move_on(schedule, now, {"last_skipped_at": now})
        return False
    if declared.overlap == "skip" and _under_way(schedule):
        _move_on(schedule, now, {"last_skipped_at": now})
        return False
    try:
        with transaction.atomic():
            # Claim and run are one transaction: a slot is handled exactly once.
            if not _move_on(schedule, now, {"last_fire_at": slot, "last_error": ""}, earlier=slot):
                return False
            started = _trigger(schedule, declared, slot, now)
            Schedule.objects.filter(pk=schedule.pk).update(last_run_id=started)
    except ZelavisError as error:
        _move_on(schedule, now, {"last_fire_at": slot, "last_error": error.message})
        logger.warning("schedule could not start its run", extra={"schedule": schedule.schedule_id, "code": error.code})
        return False
    return True


def pause(schedule: Schedule, *, paused: bool, actor: str, now: int | None = None) -> None:
    """Stop a schedule, or let it go on from now: slots that passed meanwhile do not count."""
    moment = clock.now_ms() if now is None else now
    with transaction.atomic():
        changes: dict[str, object] = {"paused": paused, "updated_at": moment}
        if not paused and schedule.next_at is not None and schedule.next_at <= moment:
            changes["next_at"] = schedules.parse(jsontext.loads(schedule.declaration)).next_after(
                schedule.next_at, moment
            )
        changed = Schedule.objects.filter(pk=schedule.pk, paused=not paused).update(**changes)
        if changed:
            audit.record(
                "schedule.pause" if paused else "schedule.unpause",
                target=f"schedule:{schedule.schedule_id}",
                actor=actor,
            )


def _live() -> QuerySet[Schedule]:
    return Schedule.objects.filter(next_at__isnull=False, enabled=True, paused=False)


def _trigger(schedule: Schedule, declared: schedules.Declaration, slot: int, now: int) -> str:
    key = f"{schedule.schedule_id}:{slot}"
    options = jsontext.loads(schedule.options)
    concurrency = options.get("concurrency")
    if concurrency is None and declared.overlap == "queue":
        concurrency = {"key": f"schedule:{schedule.label}", "limit": 1, "strategy": "queue"}
    return lifecycle.trigger(
        schedule.workflow_id,
        input=ABSENT if declared.input is ABSENT else declared.input,
        environment=schedule.environment,
        tenant_meta=lifecycle.default_tenant_meta(schedule.tenant),
        run_id=run_id(schedule.workflow_id, key),
        idempotency_key=key,
        triggered_by={"kind": "schedule", "scheduleId": schedule.schedule_id},
        timeout_ms=options.get("timeoutMs"),
        concurrency=concurrency,
        now=now,
    ).run_id


def _under_way(schedule: Schedule) -> bool:
    return bool(schedule.last_run_id) and Run.objects.filter(pk=schedule.last_run_id, status__in=states.ACTIVE).exists()


def _move_on(schedule: Schedule, now: int, changes: dict[str, object], *, earlier: int | None = None) -> bool:
    """Set the next slot, if this slot is still to be handled; what is known of the last run is noted with it."""
    assert schedule.next_at is not None
    following: int | None = None
    try:
        declared = schedules.parse(jsontext.loads(schedule.declaration))
        following = declared.next_after(schedule.next_at if earlier is None else earlier, now)
    except ValueError as error:
        # It came for the last time, or its declaration cannot be read: it stops, and says so.
        changes = {**changes, "last_error": str(error)}
    ended = Run.objects.filter(pk=schedule.last_run_id or "-", status=states.COMPLETED).values_list(
        "completed_at", flat=True
    )
    if succeeded := next(iter(ended), None):
        changes = {**changes, "last_successful_run_at": succeeded}
    claimed = Schedule.objects.filter(pk=schedule.pk, next_at=schedule.next_at, paused=False).update(
        **changes, next_at=following, updated_at=now
    )
    return claimed == 1


def fire_now(schedule: Schedule, *, actor: str, now: int | None = None) -> str:
    """Start its workflow once, out of turn; its slots stay as they are. Returns the run's id.

    Raises:
        ScheduleError: its declaration cannot be used.
        WorkflowNotFound: nothing here knows the workflow.
    """
    moment = clock.now_ms() if now is None else now
    declared = schedules.parse(jsontext.loads(schedule.declaration))
    with transaction.atomic():
        started = _trigger(schedule, declared, moment, moment)
        Schedule.objects.filter(pk=schedule.pk).update(last_run_id=started, updated_at=moment)
        audit.record("schedule.fire", target=f"schedule:{schedule.schedule_id}", actor=actor)
    return started
