"""Manifests, schedules and events in the admin: what is in force, what comes next, what came."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from runs import jsontext
from runs.manifests import ticking
from runs.models import EventReceipt, Manifest, Schedule
from zelavis import audit
from zelavis.admin.readonly import ReadOnlyAdmin
from zelavis.admin.site import Card
from zelavis.errors import ZelavisError
from zelavis.templatetags.zelavis_ui import ago, badge, pretty_json


class _Admin(ReadOnlyAdmin):
    """The verbs of these rows are those who may steer runs."""

    def may(self, request: HttpRequest) -> bool:
        return request.user.has_perm("runs.steer_run")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and self.may(request)


@admin.register(Manifest)
class ManifestAdmin(_Admin):
    """Registered manifests."""

    list_display = ("version_id", "environment", "tenant", "state", "faults", "arrived")
    list_filter = ("environment", "current")
    search_fields = ("version_id",)
    fields = ("version_id", "environment", "tenant", "state", "arrived", "warned", "filters_shown", "shown")
    readonly_fields = fields

    @admin.display(description="state", ordering="current")
    def state(self, row: Manifest) -> SafeString:
        return badge("active", "in force") if row.current else badge("inactive", "replaced")

    @admin.display(description="registered", ordering="registered_at")
    def arrived(self, row: Manifest) -> SafeString:
        return ago(row.registered)

    @admin.display(description="faults")
    def faults(self, row: Manifest) -> int:
        return len(jsontext.loads(row.warnings))

    @admin.display(description="faults")
    def warned(self, row: Manifest) -> SafeString:
        found = jsontext.loads(row.warnings)
        if not found:
            return format_html('<span class="quiet">{}</span>', "none")
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{}</li>", ((text,) for text in found)))

    @admin.display(description="event filters")
    def filters_shown(self, row: Manifest) -> SafeString:
        rows = [(rule.event_type, rule.workflow_id, pretty_json(rule.rule)) for rule in row.filters.all()]
        if not rows:
            return format_html('<span class="quiet">{}</span>', "none in force")
        body = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", rows)
        return format_html(
            '<table class="zl-table"><tr><th>event</th><th>starts</th><th>rule</th></tr>{}</table>', body
        )

    @admin.display(description="manifest")
    def shown(self, row: Manifest) -> SafeString:
        return pretty_json(row.document)


class FaultFilter(admin.SimpleListFilter):
    """Schedules whose last slot failed, or that never come because of a fault."""

    title = "fault"
    parameter_name = "fault"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "with a fault"), ("no", "without")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> QuerySet[Schedule]:
        match self.value():
            case "yes":
                return queryset.exclude(last_error="")
            case "no":
                return queryset.filter(last_error="")
        return queryset


@admin.register(Schedule)
class ScheduleAdmin(_Admin):
    """Schedules of the manifests in force."""

    list_display = ("workflow_id", "label", "environment", "tenant", "rhythm", "state", "following", "before", "told")
    list_filter = (FaultFilter, "environment", "paused", "enabled")
    search_fields = ("workflow_id", "label")
    actions = ("pause", "go_on", "fire_now")
    fields = (
        *("workflow_id", "label", "schedule_id", "environment", "tenant", "state", "following", "before"),
        *("last_run", "skipped", "last_error", "shown"),
    )
    readonly_fields = fields

    @admin.action(description="Pause the selected schedules", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        for row in queryset:
            ticking.pause(row, paused=True, actor=audit.actor_of(request))
        messages.success(request, "They start nothing until they go on.")

    @admin.action(description="Let the selected schedules go on", permissions=["change"])
    def go_on(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        for row in queryset:
            ticking.pause(row, paused=False, actor=audit.actor_of(request))
        messages.success(request, "They come again from their next slot on.")

    @admin.action(description="Run the selected schedules once now", permissions=["change"])
    def fire_now(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        for row in queryset:
            try:
                started = ticking.fire_now(row, actor=audit.actor_of(request))
            except ZelavisError as error:
                messages.error(request, f"{row}: {error.message}")
            except ValueError as error:
                messages.error(request, f"{row}: {error}")
            else:
                messages.success(request, format_html('{}: <a href="{}">{}</a>', str(row), _run_url(started), started))

    @admin.display(description="comes")
    def rhythm(self, row: Schedule) -> str:
        declared = jsontext.loads(row.declaration)
        if not isinstance(declared, dict):
            return "–"
        kind = next((kind for kind in ("cron", "every", "at") if declared.get(kind) is not None), "")
        zone = f" ({declared['timezone']})" if declared.get("timezone") else ""
        return f"{kind} {declared.get(kind, '')}{zone}"[:100]

    @admin.display(description="state")
    def state(self, row: Schedule) -> SafeString:
        if row.paused:
            return badge("paused")
        if not row.enabled:
            return badge("inactive", row.disabled_reason.replace("_", " "))
        if row.next_at is None:
            return badge("failed") if row.last_error else badge("inactive", "over")
        return badge("active")

    @admin.display(description="next", ordering="next_at")
    def following(self, row: Schedule) -> SafeString:
        return ago(None if row.paused or not row.enabled else row.next, "–")

    @admin.display(description="last", ordering="last_fire_at")
    def before(self, row: Schedule) -> SafeString:
        return ago(row.last)

    @admin.display(description="last fault")
    def told(self, row: Schedule) -> str:
        return row.last_error[:100]

    @admin.display(description="last run")
    def last_run(self, row: Schedule) -> SafeString:
        if not row.last_run_id:
            return format_html('<span class="quiet">{}</span>', "none")
        return format_html('<a href="{}">{}</a>', _run_url(row.last_run_id), row.last_run_id)

    @admin.display(description="last passed over")
    def skipped(self, row: Schedule) -> SafeString:
        return ago(row.skipped)

    @admin.display(description="declaration")
    def shown(self, row: Schedule) -> SafeString:
        return pretty_json(row.declaration)


@admin.register(EventReceipt)
class EventReceiptAdmin(_Admin):
    """Events that came."""

    list_display = ("name", "event_id", "environment", "tenant", "started", "resolved", "deliveries", "came")
    list_filter = ("environment",)
    search_fields = ("name", "event_id")
    fields = ("id", "name", "event_id", "environment", "tenant", "deliveries", "came", "resolved", "state", "runs")
    readonly_fields = fields

    @admin.display(description="runs started")
    def started(self, row: EventReceipt) -> int:
        return sum(match["status"] == "queued" for match in jsontext.loads(row.matches))

    @admin.display(description="came", ordering="created_at")
    def came(self, row: EventReceipt) -> SafeString:
        return ago(row.created)

    @admin.display(description="waiting runs")
    def state(self, row: EventReceipt) -> SafeString:
        return badge("completed") if row.wake_at is None else badge("running")

    @admin.display(description="filters")
    def runs(self, row: EventReceipt) -> SafeString:
        rows = []
        for match in jsontext.loads(row.matches):
            run_id = match.get("runId", "")
            link = format_html('<a href="{}">{}</a>', _run_url(run_id), run_id) if run_id else match.get("reason", "")
            rows.append((badge(match["status"]), match["filterId"], link, match.get("details", "")))
        if not rows:
            return format_html('<span class="quiet">{}</span>', "none matched")
        body = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", rows)
        return format_html('<table class="zl-table">{}</table>', body)


def cards(request: HttpRequest) -> list[Card]:
    """Schedules on the home page: those that cannot do what they are there for."""
    failing = Schedule.objects.filter(enabled=True, paused=False).exclude(last_error="").count()
    return [
        Card(
            title="Failing schedules",
            count=failing,
            url=f"{reverse('admin:runs_schedule_changelist')}?fault=yes",
            text="They cannot start their run, or never come." if failing else "Every schedule does its work.",
            tone="alarm" if failing else "calm",
        )
    ]


def _run_url(run_id: str) -> str:
    return reverse("admin:runs_run_change", args=[run_id])
