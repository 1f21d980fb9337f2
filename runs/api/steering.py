"""What an operator does: pause, unpause, wake, and verbs on many runs."""

from __future__ import annotations

import dataclasses

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs import control, records
from runs.api import shapes
from runs.api.base import RunsView, RunView, optional_object, tenant_of
from runs.api.reading import LIST_PARAMETERS, filters_of
from zelavis.audit import actor_of
from zelavis.errors import InvalidBody


class RunPause(RunView):
    """A pause."""

    suffix = "/pause"

    @extend_schema(operation_id="pauseRun", summary="Pause a run", request=None, responses=shapes.RECORD)
    def post(self, request: Request, run_id: str) -> Response:
        control.pause(run_id, tenant=tenant_of(request), actor=actor_of(request))
        return Response(records.load(run_id))


class RunUnpause(RunView):
    """The end of a pause."""

    suffix = "/unpause"

    @extend_schema(operation_id="unpauseRun", summary="Let a paused run go on", request=None, responses=shapes.RECORD)
    def post(self, request: Request, run_id: str) -> Response:
        control.unpause(run_id, tenant=tenant_of(request), actor=actor_of(request))
        return Response(records.load(run_id))


class RunWake(RunView):
    """The end of a sleep."""

    suffix = "/wake"

    @extend_schema(
        operation_id="wakeRun",
        summary="End a run's sleep or its wait for a retry now",
        request=None,
        responses=shapes.RECORD,
    )
    def post(self, request: Request, run_id: str) -> Response:
        control.wake(run_id, tenant=tenant_of(request), actor=actor_of(request))
        return Response(records.load(run_id))


class RunsBulk(RunsView):
    """A verb on many runs."""

    @extend_schema(
        operation_id="bulkRuns",
        summary="Cancel, resume, pause or unpause many runs",
        description="The runs named in `runIds`, or those that the filters in the query find; up to 1,000.",
        parameters=[each for each in LIST_PARAMETERS if each.name not in ("limit", "cursor")],
        request=shapes.BULK,
        responses=shapes.BULK_DONE,
    )
    def post(self, request: Request) -> Response:
        body = optional_object(request)
        run_ids = body.get("runIds", [])
        if not isinstance(run_ids, list) or not all(isinstance(run_id, str) for run_id in run_ids):
            raise InvalidBody("`runIds` must be a list of strings")
        filters = filters_of(request)
        # A forgotten filter must not mean every run there is.
        bare = not any(value for name, value in dataclasses.asdict(filters).items() if name != "tenant")
        if not run_ids and bare:
            raise InvalidBody("name `runIds`, or give a filter in the query")
        if len(run_ids) > control.BULK_LIMIT:
            raise InvalidBody(f"`runIds` has more than {control.BULK_LIMIT} members")
        reason = body.get("reason", "")
        result = control.bulk(
            str(body.get("action")),
            filters=filters,
            run_ids=run_ids,
            reason=reason if isinstance(reason, str) else "",
            actor=actor_of(request),
        )
        return Response(result.body())
