"""Feeds in the admin: what we revoke, and whose word we take."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from marketplace import following, polling, signatures
from marketplace.models import FeedEntry, FeedSource
from zelavis import audit
from zelavis.admin.readonly import ReadOnlyAdmin
from zelavis.templatetags.zelavis_ui import ago, badge


@admin.register(FeedEntry)
class FeedEntryAdmin(ReadOnlyAdmin):
    """Lines of our own feed: the newest of a digest holds."""

    list_display = ("serial", "plugin", "version", "action", "reason", "when")
    list_filter = ("action",)
    search_fields = ("plugin", "digest", "reason")
    search_help_text = "Plugin, digest or reason"

    @admin.display(description="when", ordering="created_at")
    def when(self, entry: FeedEntry) -> SafeString:
        return ago(entry.created_at)


class SourceForm(forms.ModelForm):
    """What an operator chooses about a feed."""

    url = forms.URLField(max_length=500, assume_scheme="https")

    class Meta:
        model = FeedSource
        fields = ("name", "url", "public_key", "policy", "grace_seconds", "every_seconds", "enabled")

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        problem = polling.url_problem(url)
        if problem:
            raise forms.ValidationError(problem)
        return url

    def clean_public_key(self) -> str:
        key = str(self.cleaned_data["public_key"]).strip()
        if not signatures.is_public_key(key):
            raise forms.ValidationError("Expected 32 bytes in base64, as the other marketplace's feed page shows.")
        return key


@admin.register(FeedSource)
class FeedSourceAdmin(admin.ModelAdmin):
    """Marketplaces elsewhere whose signed feed this site follows."""

    form = SourceForm
    list_display = ("name", "url", "policy", "enabled", "serial", "freshness", "asked", "outcome")

    def save_model(self, request: HttpRequest, obj: FeedSource, form: Any, change: bool) -> None:
        before = {field: form.initial.get(field) for field in form.changed_data} if change else {}
        if change and {"public_key", "url"} & set(form.changed_data):
            # Another key or place is another feed: nothing of the old one counts for it.
            obj.serial, obj.expires_at, obj.document = 0, None, ""
        obj.wake_at = timezone.now() if obj.enabled else None
        super().save_model(request, obj, form, change)
        audit.record(
            "feed.follow" if not change else "feed.change",
            target=f"feed:{obj.name}",
            actor=audit.actor_of(request),
            changes={field: [before.get(field), form.cleaned_data[field]] for field in form.changed_data},
        )

    def delete_model(self, request: HttpRequest, obj: FeedSource) -> None:
        audit.record("feed.unfollow", target=f"feed:{obj.name}", actor=audit.actor_of(request))
        super().delete_model(request, obj)

    @admin.display(description="holds")
    def freshness(self, source: FeedSource) -> SafeString:
        return badge(following.state(source, now=timezone.now()))

    @admin.display(description="asked", ordering="fetched_at")
    def asked(self, source: FeedSource) -> SafeString:
        return ago(source.fetched_at)
