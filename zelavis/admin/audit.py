"""The audit log in the admin: read only, for everybody."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from zelavis.models import AuditEvent
from zelavis.templatetags.zelavis_ui import ago, pretty_json


@admin.register(AuditEvent)
class AuditEventAdmin(admin.ModelAdmin):
    """Who did what to what, why, and what changed."""

    list_display = ("when", "actor", "action", "target", "reason")
    list_display_links = ("action",)
    list_filter = ("action",)
    search_fields = ("target", "actor", "reason", "request_id")
    search_help_text = "Target, actor, reason or request id"
    date_hierarchy = "created_at"
    show_full_result_count = False
    fields = ("created_at", "actor", "action", "target", "reason", "shown_changes", "request_id", "number", "digest")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False

    @admin.display(description="when", ordering="created_at")
    def when(self, event: AuditEvent) -> SafeString:
        return ago(event.created_at)

    @admin.display(description="changes")
    def shown_changes(self, event: AuditEvent) -> SafeString:
        return pretty_json(event.changes)
