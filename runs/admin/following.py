"""The live log of a run: a page that holds what happened, and the stream that a script on it adds to it."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse

from runs import follow, states
from runs.admin import pages
from runs.models import Run
from zelavis.api import problems
from zelavis.errors import TooManyRequests


def page(site: AdminSite, request: HttpRequest, object_id: str) -> HttpResponse:
    """What happened up to now, and where the rest comes from."""
    run = _run(request, object_id)
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": f"Live log of {run.workflow_id}",
        "run": run,
        "active": run.status in states.ACTIVE,
        # Read before the events: a line may come twice, none is lost.
        "after": run.next_seq - 1,
        "events": pages.timeline(run.pk),
    }
    return TemplateResponse(request, "admin/runs/run/log.html", context)


def stream(request: HttpRequest, object_id: str) -> HttpResponseBase:
    """Server-sent events for somebody who is signed in; the browser asks again with the number of the last."""
    if request.method != "GET":
        return HttpResponseNotAllowed(["GET"])
    run = _run(request, object_id)
    last = request.headers.get("Last-Event-ID") or request.GET.get("after", "0")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else 0
    try:
        events = follow.one(run.pk, after=after)
    except TooManyRequests as error:
        return problems.response(error, request)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(events, content_type="text/event-stream; charset=utf-8", headers=headers)


def _run(request: HttpRequest, object_id: str) -> Run:
    if not request.user.has_perm("runs.view_run"):
        raise PermissionDenied
    run = Run.objects.filter(pk=pages.unquoted(object_id)).first()
    if run is None:
        raise Http404
    return run
