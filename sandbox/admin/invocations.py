"""The ledger: every call with its outcome, and a page per plugin."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sandbox import statistics
from sandbox.admin import chart
from sandbox.admin.base import RecordAdmin, badge, draw, operates
from sandbox.models import Invocation, Tape


@admin.register(Invocation)
class InvocationAdmin(RecordAdmin):
    """Calls, newest first."""

    list_display = (
        "shown_plugin",
        "version",
        "hook",
        "shown_status",
        "took",
        "memory",
        "calls",
        "refused_calls",
        "when",
    )
    list_display_links = ("hook",)
    list_filter = ("status", "plugin", "hook")
    search_fields = ("=id", "=plugin", "=correlation")
    search_help_text = "Plugin, invocation or correlation"
    change_form_template = "admin/sandbox/invocation.html"
    change_list_template = "admin/sandbox/invocations.html"

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.plugin_view)
        return [path("plugin/<str:plugin>/", page, name="sandbox_invocation_plugin"), *super().get_urls()]

    @admin.display(description="Plugin", ordering="plugin")
    def shown_plugin(self, row: Invocation) -> SafeString:
        """The name, leading to its statistics."""
        address = reverse(f"{self.admin_site.name}:sandbox_invocation_plugin", args=[row.plugin])
        return format_html('<a href="{}">{}</a>', address, row.plugin)

    @admin.display(description="Outcome", ordering="status")
    def shown_status(self, row: Invocation) -> SafeString:
        """As a badge."""
        return badge(row.status)

    @admin.display(description="Took", ordering="duration_ms")
    def took(self, row: Invocation) -> str:
        """In milliseconds."""
        return f"{row.duration_ms:.2f} ms"

    @admin.display(description="Memory", ordering="memory_bytes")
    def memory(self, row: Invocation) -> str:
        """In KiB."""
        return f"{row.memory_bytes // 1024:,} KiB"

    @admin.display(description="Host calls", ordering="host_calls")
    def calls(self, row: Invocation) -> int:
        """How many."""
        return row.host_calls

    @admin.display(description="Refused", ordering="refusals")
    def refused_calls(self, row: Invocation) -> int:
        """How many of them were refused."""
        return row.refusals

    @admin.display(description="When", ordering="created_at")
    def when(self, row: Invocation) -> SafeString:
        """Relative, with the exact time behind it."""
        return draw("{% ago at %}", at=row.created_at)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = Invocation.objects.filter(pk=self.real_id(object_id)).first()
        context: dict[str, Any] = {}
        if row is not None:
            context = {
                "title": f"{row.hook} of {row.plugin}",
                "subtitle": None,
                "row": row,
                "error": _parsed(row.error),
                "refused": _parsed(row.refused) or [],
                "logs": _parsed(row.logs) or [],
                "operates": operates(request),
                "tape": Tape.objects.filter(pk=row.pk).only("pk").first(),
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def plugin_view(self, request: HttpRequest, plugin: str) -> TemplateResponse:
        """A plugin's last day."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        figures = statistics.of_plugin(plugin, now=timezone.now())
        hours = figures.hours
        context = {
            **self.admin_site.each_context(request),
            "title": f"Calls of {plugin}",
            "plugin": plugin,
            "figures": figures,
            "durations": chart.lines(
                "Duration by hour",
                [hour.label for hour in hours],
                [
                    ("p50", [hour.p50 if hour.calls else None for hour in hours]),
                    ("p95", [hour.p95 if hour.calls else None for hour in hours]),
                ],
                unit="ms",
            ),
            "calls": [(hour.label, hour.calls) for hour in hours],
            "failures": [(hour.label, hour.failed) for hour in hours],
            "refusals": [(hour.label, hour.refusals) for hour in hours],
        }
        return TemplateResponse(request, "admin/sandbox/plugin.html", context)


def _parsed(text: str) -> Any:
    """The JSON of a row's field; a text that was cut stays text."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text
