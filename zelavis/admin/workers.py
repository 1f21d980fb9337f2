"""Adapters as they declare themselves, dispatch namespaces and their workers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from zelavis import audit, encryption, workers
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
        if not self.has_view_permission(request):
            raise PermissionDenied
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
    actions = ("settle",)

    def save_model(self, request: HttpRequest, obj: DispatchWorker, form: Any, change: bool) -> None:
        if form.cleaned_data["no_secret"]:
            obj.secret = ""
            obj.previous_secret = ""
        elif form.cleaned_data["new_secret"]:
            # The one before counts on, until the change is ended: the worker is told at another moment.
            obj.previous_secret = obj.secret
            obj.secret = encryption.seal(form.cleaned_data["new_secret"])
        super().save_model(request, obj, form, change)
        # Names of what changed, never the secret.
        audit.record(
            "worker.change" if change else "worker.create",
            target=f"worker:{obj}",
            actor=audit.actor_of(request),
            changes={"fields": [[], sorted(form.changed_data)]},
        )

    @admin.action(description="End the change of the secret: the one before counts no more", permissions=["change"])
    def settle(self, request: HttpRequest, queryset: QuerySet[DispatchWorker]) -> None:
        for worker in queryset:
            workers.settle(worker, actor=audit.actor_of(request))
            messages.success(request, f"{worker}: only the newest secret counts.")

    @admin.display(description="signed")
    def signed(self, worker: DispatchWorker) -> SafeString:
        if worker.previous_secret:
            return badge("notice", f"being changed: {', '.join(workers.key_ids(worker))}")
        return badge("ok", f"both ways, {workers.key_ids(worker)[0]}") if worker.secret else badge("warning", "no")


@admin.register(HostedPlugin)
class HostedPluginAdmin(ReadOnlyAdmin):
    """Plugins that another Zelavis put here."""

    list_display = ("name", "version", "shown_state", "kind", "deployed_at", "activated_at")
    list_filter = ("state",)

    @admin.display(description="state", ordering="state")
    def shown_state(self, row: HostedPlugin) -> SafeString:
        return badge(row.state)
