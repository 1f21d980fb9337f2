"""Hooks in the admin: the catalogue with who listens, events, schedules, circuit breakers."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from zelavis import audit
from zelavis.admin.readonly import ReadOnlyAdmin
from zelavis.api.hooks import described
from zelavis.errors import RegistryMalformed
from zelavis.hooks import HOOKS, breakers
from zelavis.models import CircuitBreaker, HookEvent, Schedule
from zelavis.templatetags.zelavis_ui import ago, badge, pretty_json


@admin.register(HookEvent)
class HookEventAdmin(ReadOnlyAdmin):
    """After-hooks on their way and delivered."""

    list_display = ("hook", "shown_state", "plugin", "source", "told", "passes", "made")
    list_filter = ("state", "hook", "source")
    search_fields = ("id", "correlation", "plugin")
    search_help_text = "Id, correlation or plugin"
    change_list_template = "admin/zelavis/hookevent/change_list.html"
    fields = (
        "id",
        "hook",
        "shown_state",
        "plugin",
        "source",
        "actor",
        "correlation",
        "depth",
        "passes",
        "created_at",
        "finished_at",
        "wake_at",
        "shown_payload",
        "shown_outcomes",
    )
    readonly_fields = fields

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.catalogue_view)
        return [path("catalogue/", view, name="zelavis_hookevent_catalogue"), *super().get_urls()]

    def catalogue_view(self, request: HttpRequest) -> HttpResponse:
        """Every hook, and who listens in which order."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            hooks: list[dict[str, Any]] = [described(name) for name in HOOKS]
        except RegistryMalformed as error:
            messages.error(request, error.message)
            hooks = []
        context = {**self.admin_site.each_context(request), "title": "Hooks", "opts": self.opts, "hooks": hooks}
        return TemplateResponse(request, "admin/zelavis/hookevent/catalogue.html", context)

    @admin.display(description="state", ordering="state")
    def shown_state(self, event: HookEvent) -> SafeString:
        return badge(event.state)

    @admin.display(description="outcomes")
    def told(self, event: HookEvent) -> str:
        return ", ".join(f"{one['plugin']}: {one['status']}" for one in json.loads(event.outcomes)[:5]) or "–"

    @admin.display(description="made", ordering="created_at")
    def made(self, event: HookEvent) -> SafeString:
        return ago(event.created_at)

    @admin.display(description="payload")
    def shown_payload(self, event: HookEvent) -> SafeString:
        return pretty_json(json.loads(event.payload))

    @admin.display(description="outcomes")
    def shown_outcomes(self, event: HookEvent) -> SafeString:
        return pretty_json(json.loads(event.outcomes))


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    """Schedules of serving plugins."""

    list_display = ("name", "entry", "cron", "timezone", "following", "last")
    list_select_related = ("entry",)
    list_filter = ("entry",)

    @admin.display(description="next", ordering="next_at")
    def following(self, row: Schedule) -> SafeString:
        return ago(row.next_at)

    @admin.display(description="last", ordering="last_at")
    def last(self, row: Schedule) -> SafeString:
        return ago(row.last_at)


@admin.register(CircuitBreaker)
class CircuitBreakerAdmin(ReadOnlyAdmin):
    """Plugins with failures in a row."""

    list_display = ("plugin", "state", "failures", "last_status", "last_message", "retry", "last_failed")
    search_fields = ("plugin",)
    actions = ("reset",)

    @admin.action(description="Close the selected breakers", permissions=["change"])
    def reset(self, request: HttpRequest, queryset: QuerySet[CircuitBreaker]) -> None:
        for breaker in queryset:
            breakers.reset(breaker.plugin, actor=audit.actor_of(request))
            messages.success(request, f"{breaker.plugin} is called again from the next event on.")

    @admin.display(description="state")
    def state(self, breaker: CircuitBreaker) -> SafeString:
        return badge("open" if breaker.is_open else "closed")

    @admin.display(description="next try", ordering="retry_at")
    def retry(self, breaker: CircuitBreaker) -> SafeString:
        return ago(breaker.retry_at, "–")

    @admin.display(description="last failed", ordering="last_failed_at")
    def last_failed(self, breaker: CircuitBreaker) -> SafeString:
        return ago(breaker.last_failed_at)
