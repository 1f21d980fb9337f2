"""Runs in the admin: the list, one run's page, what is waited for, and what died, with verbs as buttons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from runs import control, inbox, lifecycle, queries, states
from runs import resume as resuming
from runs.admin import following, pages
from runs.jsontext import ABSENT
from runs.models import Run, RunTag, Waitpoint
from zelavis.admin.readonly import ReadOnlyAdmin
from zelavis.api.parsers import loads
from zelavis.audit import actor_of
from zelavis.errors import ZelavisError
from zelavis.templatetags.zelavis_ui import ago, badge

_BULK_VERBS = ("cancel", "pause", "unpause", "resume")


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """All runs; seen here, changed by verbs."""

    list_display = ("id", "workflow_id", "shown_status", "tenant", "environment", "invocations", "started", "next_look")
    list_filter = ("status", "workflow_id", "environment", "paused")
    show_facets = admin.ShowFacets.ALLOW
    search_fields = ("id",)
    search_help_text = "Beginning of an id, or a tag"
    change_form_template = "admin/runs/run/change_form.html"
    change_list_template = "admin/runs/run/change_list.html"
    actions = [f"do_{verb}" for verb in _BULK_VERBS]

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("waiting/", wrap(self.waiting_view), name="runs_run_waiting"),
            path("dead/", wrap(self.dead_view), name="runs_run_dead"),
            path("verb/<str:verb>/", wrap(self.verb_view), name="runs_run_verb"),
            path("resolve/", wrap(self.resolve_view), name="runs_run_resolve"),
            path("<path:object_id>/log/", wrap(self.log_view), name="runs_run_log"),
            path("<path:object_id>/stream/", wrap(following.stream), name="runs_run_stream"),
            *super().get_urls(),
        ]

    def may(self, request: HttpRequest) -> bool:
        return request.user.has_perm("runs.steer_run")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and self.may(request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        tagged = RunTag.objects.filter(value=term).values("run_id")
        return queryset.filter(id__startswith=term) | queryset.filter(id__in=tagged), False

    # One run

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        run_id = pages.unquoted(object_id)
        run = Run.objects.filter(pk=run_id).first()
        context = {} if run is None else pages.run(run) | {"may": self.may(request)}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def log_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What happens to a run, while it happens."""
        return following.page(self.admin_site, request, object_id)

    def verb_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Cancel, pause, unpause, wake or resume the run of the form."""
        run_id = self._posted(request)
        actor, reason = actor_of(request), request.POST.get("reason", "").strip()[:2000]
        verbs: dict[str, Callable[[], Any]] = {
            "cancel": lambda: lifecycle.cancel(run_id, reason=reason or ABSENT, actor=actor),
            "pause": lambda: control.pause(run_id, actor=actor),
            "unpause": lambda: control.unpause(run_id, actor=actor),
            "wake": lambda: control.wake(run_id, actor=actor),
            "resume": lambda: self._resume(request, run_id),
        }
        if verb not in verbs:
            raise Http404
        try:
            result = verbs[verb]()
        except ZelavisError as error:
            messages.error(request, error.message)
            return self._to(run_id)
        if isinstance(result, str):
            messages.success(request, f"Run {result} goes on from there.")
            return self._to(result)
        messages.success(request, f"Done: {verb}.")
        return self._to(run_id)

    def resolve_view(self, request: HttpRequest) -> HttpResponse:
        """Answer what a run waits for."""
        run_id = self._posted(request)
        waitpoint = Waitpoint.objects.filter(run_id=run_id, key=request.POST.get("waitpoint", "")).first()
        text = request.POST.get("payload", "").strip()
        try:
            payload = loads(text.encode()) if text else ABSENT
        except ValueError:
            messages.error(request, "The payload is not valid JSON. A text needs quotes.")
            return self._to(run_id)
        if waitpoint is None or waitpoint.kind not in states.INJECTABLE:
            raise Http404
        try:
            receipt = inbox.inject(
                run_id,
                waitpoint.kind,
                waitpoint.match_key,
                payload=payload,
                actor=actor_of(request),
                also_running=True,
            )
        except ZelavisError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, f"Resolved {receipt.waitpoint}; a worker goes on.")
        return self._to(run_id)

    def _resume(self, request: HttpRequest, run_id: str) -> str:
        step = request.POST.get("step", "").strip()
        user = request.user.get_username()
        body: dict[str, Any] = {"triggeredByUserId": user} | ({"resumeFromStep": step} if step else {})
        return resuming.resume(run_id, body).triggered.run_id

    def _posted(self, request: HttpRequest) -> str:
        if request.method != "POST":
            raise Http404
        if not self.may(request):
            raise PermissionDenied
        return request.POST.get("run", "")

    def _to(self, run_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:runs_run_change", args=[pages.quoted(run_id)]))

    # Lists

    def waiting_view(self, request: HttpRequest) -> HttpResponse:
        """What runs wait for from outside, oldest first."""
        self._require_view(request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Waiting for somebody",
            "waits": pages.waiting(kind=request.GET.get("kind", "")),
            "kind": request.GET.get("kind", ""),
            "kinds": list(states.INJECTABLE),
            "may": self.may(request),
        }
        return TemplateResponse(request, "admin/runs/run/waiting.html", context)

    def dead_view(self, request: HttpRequest) -> HttpResponse:
        """Failed runs, grouped by what they died of."""
        self._require_view(request)
        if request.method == "POST":
            return self._resume_group(request)
        groups = pages.dead()
        wanted = request.GET.get("group", "")
        context = {
            **self.admin_site.each_context(request),
            "title": "What runs died of",
            "groups": groups,
            "chosen": next((group for group in groups if group.key == wanted), None) if self.may(request) else None,
            "limit": control.BULK_LIMIT,
            "may": self.may(request),
        }
        return TemplateResponse(request, "admin/runs/run/dead.html", context)

    def _resume_group(self, request: HttpRequest) -> HttpResponse:
        if not self.may(request):
            raise PermissionDenied
        wanted = request.POST.get("group", "")
        found = next((group for group in pages.dead() if group.key == wanted), None)
        if found is None:
            raise Http404
        result = control.bulk("resume", filters=queries.Filters(), run_ids=found.run_ids, actor=actor_of(request))
        messages.success(request, f"{len(result.done)} resumed, {len(result.refused)} refused.")
        return HttpResponseRedirect(reverse("admin:runs_run_dead"))

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _bulk(self, request: HttpRequest, queryset: QuerySet[Run], verb: str) -> None:
        ids = list(queryset.values_list("pk", flat=True)[: control.BULK_LIMIT])
        result = control.bulk(verb, filters=queries.Filters(), run_ids=ids, actor=actor_of(request))
        level = messages.SUCCESS if result.done else messages.WARNING
        messages.add_message(request, level, f"{verb}: {len(result.done)} done, {len(result.refused)} refused.")

    @admin.action(description="Cancel the selected runs", permissions=["change"])
    def do_cancel(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        """End them."""
        self._bulk(request, queryset, "cancel")

    @admin.action(description="Pause the selected runs", permissions=["change"])
    def do_pause(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        """Hold them."""
        self._bulk(request, queryset, "pause")

    @admin.action(description="Unpause the selected runs", permissions=["change"])
    def do_unpause(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        """Let them go on."""
        self._bulk(request, queryset, "unpause")

    @admin.action(description="Resume the selected runs from their failed step", permissions=["change"])
    def do_resume(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        """A new run for each."""
        self._bulk(request, queryset, "resume")

    # Columns

    @admin.display(description="status", ordering="status")
    def shown_status(self, run: Run) -> SafeString:
        return badge("paused" if run.paused else run.status)

    @admin.display(description="triggered", ordering="created_at")
    def started(self, run: Run) -> SafeString:
        return ago(run.created)

    @admin.display(description="next look", ordering="wake_at")
    def next_look(self, run: Run) -> SafeString:
        return ago(run.wakes, "–")
