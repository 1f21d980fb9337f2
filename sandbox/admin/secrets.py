"""Secrets of plugins: set here, shown nowhere."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from sandbox.capabilities.secrets import NAME, seal
from sandbox.models import PluginSecret

#: Shorter values would be found in, and taken out of, texts that hold them by chance.
SHORTEST = 8


class SecretForm(forms.ModelForm):
    """A value goes in; none comes out."""

    name = forms.RegexField(NAME, max_length=63, help_text="As in the manifest: a-z, 0-9 and -.")
    value = forms.CharField(
        min_length=SHORTEST,
        max_length=4096,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Kept encrypted and never shown again. The host puts it into requests to the bound host only.",
    )

    class Meta:
        model = PluginSecret
        fields = ("plugin", "name", "value")

    def clean_value(self) -> str:
        """Printable ASCII: it becomes a header."""
        value: str = self.cleaned_data["value"]
        if not (value.isascii() and value.isprintable()):
            raise forms.ValidationError("A secret may hold printable ASCII characters only.")
        return value

    def save(self, commit: bool = True) -> Any:
        self.instance.sealed = seal(self.cleaned_data["value"])
        return super().save(commit)


@admin.register(PluginSecret)
class PluginSecretAdmin(admin.ModelAdmin):
    """Add, replace, delete."""

    form = SecretForm
    list_display = ("plugin", "name", "updated_at")
    list_filter = ("plugin",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("plugin",) if obj is not None else ()
