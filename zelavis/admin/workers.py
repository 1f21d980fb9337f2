"""Adapters as they declare themselves, dispatch namespaces and their workers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from zelavis import audit, encryption
from zelavis.admin.readonly import ReadOnlyAdmin
from zelavis.api.activations import declared
from zelavis.models import DispatchNamespace, DispatchWorker, HostedPlugin
from zelavis.templatetags.zelavis_ui import badge


@admin.register(DispatchNamespace)
class DispatchNamespaceAdmin(admin.ModelAdmin):
    """Namespaces; the adapters page hangs on their list."""

    list_display = ("name", "description", "workers_known")
    search_fields = ("name",)
    change_list_template = "admin/zelavis/dispatchnamespace/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.adapters_view)
        return [path("adapters/", view, name="zelavis_adapters"), *super().get_urls()]

    def adapters_view(self, request: HttpRequest) -> HttpResponse:
        """What each adapter declares, as tiles."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Adapters",
            "opts": self.opts,
            "adapters": declared(),
        }
        return TemplateResponse(request, "admin/zelavis/dispatchnamespace/adapters.html", context)

    @admin.display(description="workers")
    def workers_known(self, namespace: DispatchNamespace) -> int:
        return namespace.workers.count()


class WorkerForm(forms.ModelForm):
    """A worker; its secret goes in and never comes out."""

    base_url = forms.URLField(
        max_length=500,
        assume_scheme="https",
        help_text="Scheme, host and port; the paths of the protocol are added.",
    )
    new_secret = forms.CharField(
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="The same text as ZELAVIS_WORKER_SECRET of the worker. Empty: the one that is kept stays.",
    )
    no_secret = forms.BooleanField(required=False, help_text="Forget the secret: nothing is signed any more.")

    class Meta:
        model = DispatchWorker
        fields = ("namespace", "name", "base_url", "takes_uploads", "timeout_ms", "max_answer_bytes")
        help_texts = {"takes_uploads": "Send the code of a version before its activation."}

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if values.get("new_secret") and values.get("no_secret"):
            raise ValidationError("Give a new secret, or forget it; not both.")
        if values.get("new_secret") and len(values["new_secret"]) < 16:
            self.add_error("new_secret", "At least 16 characters.")
        return values


@admin.register(DispatchWorker)
class DispatchWorkerAdmin(admin.ModelAdmin):
    """Workers."""

    form = WorkerForm
    list_display = ("name", "namespace", "base_url", "signed", "takes_uploads", "timeout_ms")
    list_filter = ("namespace",)
    list_select_related = ("namespace",)
    search_fields = ("name", "base_url")

    def save_model(self, request: HttpRequest, obj: DispatchWorker, form: Any, change: bool) -> None:
        if form.cleaned_data["no_secret"]:
            obj.secret = ""
        elif form.cleaned_data["new_secret"]:
            obj.secret = encryption.seal(form.cleaned_data["new_secret"])
        super().save_model(request, obj, form, change)
        # Names of what changed, never the secret.
        audit.record(
            "worker.change" if change else "worker.create",
            target=f"worker:{obj}",
            actor=audit.actor_of(request),
            changes={"fields": [[], sorted(form.changed_data)]},
        )

    @admin.display(description="signed")
    def signed(self, worker: DispatchWorker) -> SafeString:
        return badge("ok", "both ways") if worker.secret else badge("warning", "no")


@admin.register(HostedPlugin)
class HostedPluginAdmin(ReadOnlyAdmin):
    """Plugins that another Zelavis put here."""

    list_display = ("name", "version", "shown_state", "kind", "deployed_at", "activated_at")
    list_filter = ("state",)

    @admin.display(description="state", ordering="state")
    def shown_state(self, row: HostedPlugin) -> SafeString:
        return badge(row.state)
