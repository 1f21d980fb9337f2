"""Beat's static jobs: seen, paused and let go on. What they are stands in the settings."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)

from zelavis import audit
from zelavis.admin.readonly import ReadOnlyAdmin
from zelavis.templatetags.zelavis_ui import ago, badge

for _model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(_model)


@admin.register(PeriodicTask)
class JobAdmin(ReadOnlyAdmin):
    """Jobs of a fixed rhythm: sweeps, retention, signs of life."""

    list_display = ("name", "task", "state", "rhythm", "last")
    search_fields = ("name", "task")
    search_help_text = "Name or task"
    actions = ("pause", "go_on")
    fields = ("name", "task", "rhythm", "enabled", "last_run_at", "total_run_count", "description")
    readonly_fields = ("rhythm",)

    @admin.action(description="Pause the selected jobs", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        self._switch(request, queryset, enabled=False)

    @admin.action(description="Let the selected jobs go on", permissions=["change"])
    def go_on(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        self._switch(request, queryset, enabled=True)

    def _switch(self, request: HttpRequest, queryset: QuerySet[PeriodicTask], *, enabled: bool) -> None:
        for job in queryset.exclude(enabled=enabled):
            PeriodicTask.objects.filter(pk=job.pk).update(enabled=enabled)
            audit.record(
                "job.go_on" if enabled else "job.pause", target=f"job:{job.name}", actor=audit.actor_of(request)
            )
            messages.success(request, f"{job.name} {'goes on' if enabled else 'is paused'}.")
        # An update by query sends no signal; beat looks at this row.
        PeriodicTasks.update_changed()

    @admin.display(description="state")
    def state(self, job: PeriodicTask) -> SafeString:
        return badge("active" if job.enabled else "paused")

    @admin.display(description="rhythm")
    def rhythm(self, job: PeriodicTask) -> str:
        return str(job.schedule)

    @admin.display(description="last rung", ordering="last_run_at")
    def last(self, job: PeriodicTask) -> SafeString:
        return ago(job.last_run_at)
