"""Dispatchers in the admin: where workflows of a tenant run. The secret is written, never shown."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from runs.dispatchers import choose
from runs.models import Dispatcher
from zelavis import audit, encryption


class DispatcherForm(forms.ModelForm):
    """A dispatcher's row."""

    new_secret = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="The tenant's HMAC key. Leave empty to keep the present one.",
    )

    class Meta:
        model = Dispatcher
        fields: ClassVar = ["name", "kind", "url", "tenant", "workflow", "timeout_seconds", "enabled"]

    def clean_url(self) -> str:
        """``http(s)://host`` or, for a service, ``unix:/path``."""
        url = str(self.cleaned_data["url"])
        service = self.data.get("kind") == Dispatcher.SERVICE
        if url.startswith(("http://", "https://")) or (service and url.startswith("unix:/")):
            return url.rstrip("/")
        raise ValidationError("Expected http:// or https://" + (", or unix:/path." if service else "."))

    def clean_timeout_seconds(self) -> float:
        """A request has to end."""
        seconds = float(self.cleaned_data["timeout_seconds"])
        if not 0 < seconds <= 3600:
            raise ValidationError("More than 0 and at most 3600 seconds.")
        return seconds

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("kind") == Dispatcher.HTTP and not (self.instance.secret or cleaned.get("new_secret")):
            raise ValidationError("Requests over the network are signed: give the secret that the tenant checks.")
        return cleaned


@admin.register(Dispatcher)
class DispatcherAdmin(admin.ModelAdmin):
    """Configured by superusers."""

    form = DispatcherForm
    list_display = ("name", "kind", "url", "tenant", "workflow", "enabled")

    def save_model(self, request: HttpRequest, obj: Dispatcher, form: Any, change: bool) -> None:
        if form.cleaned_data.get("new_secret"):
            obj.secret = encryption.seal(form.cleaned_data["new_secret"])
        super().save_model(request, obj, form, change)
        choose.forget()
        audit.record(
            "dispatcher.change" if change else "dispatcher.add",
            target=f"dispatcher:{obj.name}",
            actor=audit.actor_of(request),
        )

    def delete_model(self, request: HttpRequest, obj: Dispatcher) -> None:
        super().delete_model(request, obj)
        choose.forget()
        audit.record("dispatcher.delete", target=f"dispatcher:{obj.name}", actor=audit.actor_of(request))
