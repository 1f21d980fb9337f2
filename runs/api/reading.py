"""``GET /api/runs`` and what can be read of one run beyond its record."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from runs import follow, inbox, queries, states
from runs.api import shapes
from runs.api.base import CORS, RunsView, RunView, tenant_of
from zelavis.api.pagination import LIMIT
from zelavis.errors import InvalidRequest

LIST_PARAMETERS = [
    OpenApiParameter("status", description="One or more, separated by commas."),
    OpenApiParameter("workflowId"),
    OpenApiParameter("tag"),
    OpenApiParameter("tenant", description="Only for tokens without a tenant of their own."),
    OpenApiParameter("parent", description="Runs started by this run."),
    OpenApiParameter("createdFrom", int, description="Milliseconds since the epoch."),
    OpenApiParameter("createdTo", int, description="Milliseconds since the epoch."),
    OpenApiParameter("limit", LIMIT),
    OpenApiParameter("cursor", description="`next` of the page before."),
]


def filters_of(request: Request) -> queries.Filters:
    """The filters in the query.

    Raises:
        InvalidRequest: an unknown status, or a time that is not a number.
    """
    given = request.query_params
    statuses = [word for word in given.get("status", "").split(",") if word]
    unknown = sorted(set(statuses) - set(states.ALL))
    if unknown:
        raise InvalidRequest(f"status must be among {', '.join(states.ALL)}")
    return queries.Filters(
        tenant=tenant_of(request) or given.get("tenant", ""),
        statuses=statuses,
        workflow_id=given.get("workflowId", given.get("workflow", "")),
        tag=given.get("tag", ""),
        parent=given.get("parent", ""),
        created_from=number(given.get("createdFrom"), "createdFrom"),
        created_to=number(given.get("createdTo"), "createdTo"),
    )


def number(text: str | None, name: str, *, lowest: int = 0, highest: int = 2**53) -> int | None:
    """A whole number of the query.

    Raises:
        InvalidRequest: it is not one, or out of range.
    """
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and lowest <= int(text) <= highest):
        raise InvalidRequest(f"{name} must be a whole number from {lowest} to {highest}")
    return int(text)


def listed(request: Request) -> Response:
    """The page of runs that the query asks for."""
    limit = number(request.query_params.get("limit"), "limit", lowest=1, highest=queries.MAX_LIMIT) or 50
    found, following = queries.page(filters_of(request), limit=limit, cursor=request.query_params.get("cursor", ""))
    return Response({"runs": [queries.summary(run) for run in found], "next": following or None})


class RunJournal(RunView):
    """The journal."""

    suffix = "/journal"

    @extend_schema(
        operation_id="getRunJournal",
        summary="The journal of a run, in order",
        parameters=[
            OpenApiParameter("after", {"type": "integer", "minimum": 0}),
            OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 500}),
        ],
        responses=shapes.JOURNAL_PAGE,
    )
    def get(self, request: Request, run_id: str) -> Response:
        after = number(request.query_params.get("after"), "after") or 0
        limit = number(request.query_params.get("limit"), "limit", lowest=1, highest=1000) or 500
        entries = queries.journal(run_id, tenant=tenant_of(request), after=after, limit=limit)
        return Response({"entries": entries, "next": entries[-1]["seq"] if len(entries) == limit else None})


class RunTimeline(RunView):
    """The timeline."""

    suffix = "/timeline"

    @extend_schema(operation_id="getRunTimeline", summary="What happened to a run, by time", responses=shapes.TIMELINE)
    def get(self, request: Request, run_id: str) -> Response:
        return Response({"events": queries.timeline(run_id, tenant=tenant_of(request))})


class RunWhy(RunView):
    """The answer to "why is it not moving"."""

    suffix = "/why"

    @extend_schema(operation_id="getRunWhy", summary="Why a run is not moving", responses=shapes.WHY)
    def get(self, request: Request, run_id: str) -> Response:
        return Response(queries.why(run_id, tenant=tenant_of(request)))


class RunReceipts(RunView):
    """What was sent to the run."""

    suffix = "/receipts"

    @extend_schema(operation_id="listReceipts", summary="Injections of a run, oldest first", responses=shapes.RECEIPTS)
    def get(self, request: Request, run_id: str) -> Response:
        return Response({"receipts": inbox.receipts(run_id, tenant=tenant_of(request))})


class _Whatever(BaseContentNegotiation):
    """An event source asks for text/event-stream; errors are JSON all the same."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


def _stream(events: Any) -> HttpResponseBase:
    headers = {**CORS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(events, content_type="text/event-stream; charset=utf-8", headers=headers)


class RunStream(RunView):
    """One run as it goes."""

    suffix = "/stream"
    content_negotiation_class = _Whatever

    @extend_schema(
        operation_id="streamRun",
        summary="Follow a run: server-sent events, resumable by Last-Event-ID",
        parameters=[OpenApiParameter("Last-Event-ID", location="header"), OpenApiParameter("after", int)],
        responses={(200, "text/event-stream"): OpenApiTypes.STR},
    )
    def get(self, request: Request, run_id: str) -> HttpResponseBase:
        queries.get(run_id, tenant=tenant_of(request))
        last = request.headers.get("Last-Event-ID") or request.query_params.get("after")
        after = number(last, "Last-Event-ID") or 0
        return _stream(follow.one(run_id, after=after))


class RunsStream(RunsView):
    """All runs as they come and change."""

    content_negotiation_class = _Whatever

    @extend_schema(
        operation_id="streamRuns",
        summary="Follow all runs: server-sent events",
        responses={(200, "text/event-stream"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponseBase:
        return _stream(follow.every(tenant=tenant_of(request)))
