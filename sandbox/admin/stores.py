"""What plugins keep: values, documents, records, files, mail, wake times and counts. Seen, not edited."""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib import admin
from django.utils.safestring import SafeString

from sandbox.admin.base import RecordAdmin, badge, draw
from sandbox.models import (
    PluginBlob,
    PluginDocument,
    PluginMail,
    PluginMeter,
    PluginObject,
    PluginUsage,
    PluginValue,
    PluginWake,
)


def _moment(milliseconds: int | None) -> SafeString:
    at = None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return draw("{% ago at %}", at=at)


@admin.register(PluginValue)
class PluginValueAdmin(RecordAdmin):
    """The KV browser."""

    list_display = ("plugin", "key", "short", "size", "expires", "written")
    list_display_links = ("key",)
    list_filter = ("plugin",)
    search_fields = ("key",)
    search_help_text = "Part of a key"
    fields = ("plugin", "key", "shown", "size", "expires", "written")
    readonly_fields = ("shown", "expires", "written")
    ordering = ("plugin", "key")

    @admin.display(description="Value")
    def short(self, row: PluginValue) -> str:
        """Its first characters."""
        return row.value[:80] + ("…" if len(row.value) > 80 else "")

    @admin.display(description="Value")
    def shown(self, row: PluginValue) -> SafeString:
        """As JSON."""
        return draw("{% pretty_json value %}", value=row.value)

    @admin.display(description="Expires", ordering="expires_ms")
    def expires(self, row: PluginValue) -> SafeString:
        """When it ends."""
        return _moment(row.expires_ms)

    @admin.display(description="Written", ordering="updated_ms")
    def written(self, row: PluginValue) -> SafeString:
        """When it was last set."""
        return _moment(row.updated_ms)


@admin.register(PluginDocument)
class PluginDocumentAdmin(RecordAdmin):
    """Documents."""

    list_display = ("plugin", "collection", "key", "size")
    list_display_links = ("key",)
    list_filter = ("plugin", "collection")
    search_fields = ("key",)
    fields = ("plugin", "collection", "key", "shown", "size")
    readonly_fields = ("shown",)

    @admin.display(description="Document")
    def shown(self, row: PluginDocument) -> SafeString:
        """As JSON."""
        return draw("{% pretty_json value %}", value=row.body)


@admin.register(PluginObject)
class PluginObjectAdmin(RecordAdmin):
    """Serialised records and who holds them."""

    list_display = ("plugin", "key", "size", "owner")
    list_filter = ("plugin",)
    search_fields = ("key",)


@admin.register(PluginBlob)
class PluginBlobAdmin(RecordAdmin):
    """Files, without their bytes: a plugin chose name and type, so they are not served."""

    list_display = ("plugin", "name", "size", "content_type", "sha256")
    list_filter = ("plugin",)
    search_fields = ("name",)


@admin.register(PluginMail)
class PluginMailAdmin(RecordAdmin):
    """Mail on its way out."""

    list_display = ("plugin", "subject", "recipients", "shown_state", "attempts", "created_at")
    list_filter = ("state", "plugin")

    @admin.display(description="State", ordering="state")
    def shown_state(self, row: PluginMail) -> SafeString:
        """As a badge."""
        return badge(row.state)


@admin.register(PluginWake)
class PluginWakeAdmin(RecordAdmin):
    """Wake times."""

    list_display = ("plugin", "name", "due", "data")
    list_filter = ("plugin",)

    @admin.display(description="Due", ordering="at_ms")
    def due(self, row: PluginWake) -> SafeString:
        """When it fires."""
        return _moment(row.at_ms)


@admin.register(PluginUsage)
class PluginUsageAdmin(RecordAdmin):
    """How much each plugin keeps."""

    list_display = ("plugin", "store", "count", "bytes")
    list_filter = ("store", "plugin")


@admin.register(PluginMeter)
class PluginMeterAdmin(RecordAdmin):
    """Hourly counts."""

    list_display = ("plugin", "meter", "used", "began")
    list_filter = ("plugin",)
    ordering = ("-hour", "plugin")

    @admin.display(description="Hour", ordering="hour")
    def began(self, row: PluginMeter) -> SafeString:
        """When the hour began."""
        return _moment(row.hour * 3_600_000)
