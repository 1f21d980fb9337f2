"""Attempts in the admin: each with its timeline, Retry, Roll back and Copy as curl."""

from __future__ import annotations

import json
import shlex
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from sandbox.errors import SandboxError
from zelavis import activation, audit
from zelavis.admin.plugins import tell
from zelavis.admin.readonly import ReadOnlyAdmin, real_id
from zelavis.api.shapes import stages_of
from zelavis.errors import ZelavisError
from zelavis.models import Activation
from zelavis.templatetags.zelavis_ui import ago, badge


@admin.register(Activation)
class ActivationAdmin(ReadOnlyAdmin):
    """Attempts."""

    list_display = ("plugin", "action", "shown_state", "adapter", "actor", "message", "started")
    list_filter = ("state", "action", "adapter")
    search_fields = ("plugin", "id", "message")
    search_help_text = "Plugin, id or message"
    list_select_related = ("deployment",)
    change_form_template = "admin/zelavis/activation/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<str:activation_id>/retry/", wrap(self.retry_view), name="zelavis_activation_retry"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = (
            Activation.objects.select_related("entry__serving", "entry__previous", "deployment__worker", "before")
            .filter(pk=real_id(object_id))
            .first()
        )
        context: dict[str, Any] = {}
        if row is not None:
            entry = row.entry
            newest = entry.activations.order_by("-created_at", "-id").first() if entry else None
            context = {
                "title": f"{row.action.capitalize()} of {row.plugin}",
                "subtitle": None,
                "row": row,
                "events": row.events.all(),
                "request_text": json.dumps(json.loads(row.request), indent=2, ensure_ascii=False)
                if row.request
                else "",
                "may": self.may(request),
                "can_retry": row.state == Activation.State.FAILED and newest is not None and newest.pk == row.pk,
                "can_roll_back": entry is not None
                and entry.serving_id is not None
                and (entry.previous_id is not None or entry.candidate_id is not None),
                "stages": stages_of(row.rollout),
                "curl": as_curl(row, request.build_absolute_uri("/")),
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def retry_view(self, request: HttpRequest, activation_id: str) -> HttpResponse:
        """Try a failed attempt again."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.may(request):
            raise PermissionDenied
        try:
            row = activation.retry(activation_id, actor=audit.actor_of(request))
        except (ZelavisError, SandboxError) as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(reverse("admin:zelavis_activation_changelist"))
        tell(request, row)
        return HttpResponseRedirect(reverse("admin:zelavis_activation_change", args=[row.pk]))

    @admin.display(description="state", ordering="state")
    def shown_state(self, row: Activation) -> SafeString:
        return badge(row.state)

    @admin.display(description="started", ordering="created_at")
    def started(self, row: Activation) -> SafeString:
        return ago(row.created_at)


def as_curl(row: Activation, base: str) -> str:
    """The attempt as a shell command: to the worker for adapters that call one, else to our own API.

    The worker's secret is not in it: a signed request is made by whoever holds the secret.
    """
    worker = row.deployment.worker if row.deployment else None
    if worker is not None and row.request:
        words = ["curl", "-X", "POST", f"{worker.base_url.rstrip('/')}/__zelavis/plugin/activate"]
        words += ["-H", "content-type: application/json", "--data", row.request]
        return shlex.join(words)
    verb = {"register": "activate"}.get(row.action, row.action)
    body: dict[str, Any] = {"reason": row.reason} if row.reason else {}
    if row.deployment is not None and row.action in (Activation.Action.INSTALL, Activation.Action.UPDATE):
        body |= {"version": row.deployment.version, "consent": row.deployment.consent}
        if row.action == Activation.Action.UPDATE:
            body |= {"percent": row.percent, "shadowTapes": row.shadow_tapes}
    if row.purge:
        body["purge"] = True
    words = ["curl", "-X", "POST", f"{base.rstrip('/')}/api/plugins/{row.plugin}/{verb}"]
    words += ["-H", "content-type: application/json", "--data", json.dumps(body)]
    return f'{shlex.join(words)} -H "Authorization: Bearer $ZELAVIS_TOKEN"'
