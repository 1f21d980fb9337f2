"""API tokens in the admin: made, seen, revoked; never edited and never shown again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from zelavis import audit, tokens
from zelavis.models import ApiToken
from zelavis.templatetags.zelavis_ui import ago, badge


class NewToken(forms.ModelForm):
    """What a person chooses for a new token."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope, f"{scope}: {text}") for scope, text in tokens.SCOPES.items()],
        widget=forms.CheckboxSelectMultiple,
    )

    expires_at = forms.DateTimeField(
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text="In UTC. Empty: until it is revoked.",
    )

    class Meta:
        model = ApiToken
        fields = ("name", "scopes", "tenant", "expires_at")
        help_texts = {"tenant": "Durable runs of this tenant only. Empty: of every tenant."}


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):
    """Tokens of the REST API."""

    list_display = ("name", "shown_prefix", "shown_scopes", "state", "last_used", "created")
    search_fields = ("name", "prefix")
    search_help_text = "Name, or the eight characters after zlv_"
    actions = ("revoke",)
    form = NewToken

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        # The list and its actions need it; a single token is only ever viewed.
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        made, secret = tokens.create(
            obj.name, form.cleaned_data["scopes"], tenant=obj.tenant, expires_at=obj.expires_at
        )
        obj.pk = made.pk
        obj.prefix = made.prefix
        audit.record(
            "token.create",
            target=f"token:{made.name}",
            actor=audit.actor_of(request),
            changes={"scopes": [[], made.scopes]},
        )
        messages.warning(
            request, format_html("The token is <code>{}</code>. It is shown this once: copy it now.", secret)
        )

    @admin.action(description="Revoke the selected tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for token in queryset.filter(revoked_at=None):
            tokens.revoke(token)
            audit.record("token.revoke", target=f"token:{token.name}", actor=audit.actor_of(request))
            messages.success(request, f"{token.name} no longer opens anything.")

    @admin.display(description="token")
    def shown_prefix(self, token: ApiToken) -> str:
        return f"zlv_{token.prefix}_…"

    @admin.display(description="scopes")
    def shown_scopes(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @admin.display(description="state")
    def state(self, token: ApiToken) -> SafeString:
        if token.revoked_at:
            return badge("revoked")
        return badge("active" if token.is_live(timezone.now()) else "expired")

    @admin.display(description="last used", ordering="last_used_at")
    def last_used(self, token: ApiToken) -> SafeString:
        return ago(token.last_used_at)

    @admin.display(description="created", ordering="created_at")
    def created(self, token: ApiToken) -> SafeString:
        return ago(token.created_at)
