"""``/api/runs``: trigger, read, resume, cancel."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs import clock, lifecycle, records
from runs import resume as resuming
from runs.api import bodies, reading, shapes
from runs.api.base import (
    RunsView,
    RunView,
    SuffixNotFound,
    drive_and_load,
    idempotency_key,
    optional_object,
    raw_body,
    tenant_of,
    wants_async,
)
from zelavis.audit import actor_of
from zelavis.errors import RouteNotFound


class RunList(RunsView):
    """All runs."""

    @extend_schema(
        operation_id="listRuns",
        summary="Runs, newest first",
        parameters=reading.LIST_PARAMETERS,
        responses=shapes.RUN_PAGE,
    )
    def get(self, request: Request) -> Response:
        return reading.listed(request)

    @extend_schema(
        operation_id="triggerRun",
        summary="Trigger a run and drive it for a bounded time",
        description="Answers with the record when the run has parked or ended, or when the time is over. "
        "`Prefer: respond-async` answers 202 at once. The same `runId` or `idempotencyKey` gives the same run; "
        "with another body it is 409 `run_conflict`.",
        request=shapes.TRIGGER,
        responses={200: shapes.RECORD, 202: shapes.RECORD},
        parameters=[
            OpenApiParameter("Prefer", location="header"),
            OpenApiParameter("Idempotency-Key", location="header"),
        ],
    )
    def post(self, request: Request) -> Response:
        now = clock.now_ms()
        body = bodies.trigger(
            raw_body(request),
            tenant=tenant_of(request),
            idempotency_key=idempotency_key(request),
            now=now,
        )
        later = wants_async(request)
        triggered = lifecycle.trigger(body.workflow_id, **body.arguments, claim=not later, now=now)
        return drive_and_load(triggered.run_id, triggered.held, status=202 if later and triggered.created else 200)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        raise RouteNotFound(path=request.path)


class RunDetail(RunView):
    """One run."""

    @extend_schema(operation_id="getRun", summary="The record of a run", responses=shapes.RECORD)
    def get(self, request: Request, run_id: str) -> Response:
        return Response(records.load(run_id, tenant=tenant_of(request)))


class RunResume(RunView):
    """A new run from an ended one."""

    suffix = "/resume"

    @extend_schema(
        operation_id="resumeRun",
        summary="Start a new run from a failed one",
        description="Steps before the resumed one, and the waits resolved before it, are taken over.",
        request=shapes.RESUME,
        responses=shapes.RESUMED,
    )
    def post(self, request: Request, run_id: str) -> Response:
        body = optional_object(request)
        bodies.check_size(body.get("input"), "input")
        seeds = body.get("seedResults")
        for seed in seeds.values() if isinstance(seeds, dict) else ():
            bodies.check_size(seed, "seedResults")
        later = wants_async(request)
        resumed = resuming.resume(run_id, body, tenant=tenant_of(request), claim=not later)
        record = drive_and_load(resumed.triggered.run_id, resumed.triggered.held).data
        answer = {"saved": record, "parentRunId": run_id, "resumeFromStep": resumed.resume_from_step}
        return Response(answer, status=202 if later else 200)


class RunCancel(RunView):
    """The end of a run by somebody's will."""

    suffix = "/cancel"

    @extend_schema(
        operation_id="cancelRun",
        summary="Cancel a run and its attached children",
        request=shapes.CANCEL,
        responses=shapes.RECORD,
    )
    def post(self, request: Request, run_id: str) -> Response:
        body = optional_object(request)
        reason = body.get("reason")
        lifecycle.cancel(run_id, reason=reason, tenant=tenant_of(request), actor=actor_of(request))
        return Response(records.load(run_id))


class UnknownSuffix(RunView):
    """Anything else under a run."""

    @extend_schema(exclude=True)
    def get(self, request: Request, run_id: str, suffix: str) -> Response:
        raise SuffixNotFound(f"unknown path suffix /{suffix}")

    post = put = patch = delete = get
