"""Tapes: recorded calls, and the button that runs one again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from sandbox import tape
from sandbox.admin.base import RecordAdmin, badge, draw, operates
from sandbox.models import Tape


@admin.register(Tape)
class TapeAdmin(RecordAdmin):
    """Tapes, newest first. They hold what plugins saw, so only operators open them, and it is noted that they did."""

    list_display = ("id", "plugin", "version", "hook", "shown_status", "reason", "size", "when")
    list_filter = ("status", "reason", "plugin")
    search_fields = ("=id", "=plugin")
    change_form_template = "admin/sandbox/tape.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.replay_view)
        return [path("<str:tape_id>/replay/", view, name="sandbox_tape_replay"), *super().get_urls()]

    @admin.display(description="Outcome", ordering="status")
    def shown_status(self, row: Tape) -> SafeString:
        """As a badge."""
        return badge(row.status)

    @admin.display(description="When", ordering="created_at")
    def when(self, row: Tape) -> SafeString:
        """Relative, with the exact time behind it."""
        return draw("{% ago at %}", at=row.created_at)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and (obj is None or operates(request))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = Tape.objects.filter(pk=self.real_id(object_id)).first()
        context: dict[str, Any] = {}
        if row is not None and operates(request):
            context = {**_shown(row), "played": None}
            if request.method == "GET" and not extra_context:
                self.log_change(request, row, "Tape opened.")
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def replay_view(self, request: HttpRequest, tape_id: str) -> HttpResponse:
        """Run it again; nothing is stored and nothing is sent."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not operates(request):
            raise PermissionDenied
        row: Tape = self.row(tape_id)
        against = request.POST.get("against", "")
        context: dict[str, Any] = _shown(row)
        try:
            known = {one.digest: one for one in context["artifacts"]}
            artifact = known[against].deploy() if against in known else None
            context["played"] = tape.replay(row.body, artifact=artifact)
            context["against"] = known.get(against)
        except Exception as error:
            # A release that cannot be made ready says why in its own words; anything else is a fault of ours.
            if not hasattr(error, "code"):
                raise
            context["problem"] = f"{error} ({error.code})"
        self.log_change(request, row, f"Tape replayed{' against ' + against[:12] if against else ''}.")
        request.method = "GET"
        return self.change_view(request, row.pk, extra_context=context)


def _shown(row: Tape) -> dict[str, Any]:
    body = tape.read(row.body)
    return {
        "title": f"Tape of {row.plugin} {row.version}",
        "subtitle": None,
        "row": row,
        "body": body,
        "calls": body["hostCalls"],
        "artifacts": [one for one in tape.others(row.plugin).values() if one.digest != row.digest],
    }
