"""Feeds in the admin: what we revoke, and whose word we take."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from marketplace import actors, following, importing, polling, signatures
from marketplace.models import FeedEntry, FeedSource
from zelavis import audit
from zelavis.admin.readonly import ReadOnlyAdmin
from zelavis.errors import InvalidRequest, ZelavisError
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

    url = forms.URLField(
        max_length=500,
        assume_scheme="https",
        required=False,
        help_text="Empty: nothing is asked, and its documents are imported as files.",
    )

    class Meta:
        model = FeedSource
        fields = ("name", "url", "public_key", "policy", "only_allowed", "grace_seconds", "every_seconds", "enabled")

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        problem = polling.url_problem(url) if url else ""
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
            obj.allowed.all().delete()
        obj.wake_at = timezone.now() if obj.enabled and obj.url else None
        super().save_model(request, obj, form, change)
        audit.record(
            "feed.follow" if not change else "feed.change",
            target=f"feed:{obj.name}",
            actor=audit.actor_of(request),
            changes={field: [before.get(field), form.cleaned_data[field]] for field in form.changed_data},
        )

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:object_id>/import/", wrap(self.import_view), name="marketplace_feedsource_import"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        may = {"may_import": request.user.has_perm(importing.PERMISSION)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **may})

    def import_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Take over a document that was carried here as a file."""
        if not request.user.has_perm(importing.PERMISSION):
            raise PermissionDenied
        source = FeedSource.objects.filter(pk=object_id).first() if object_id < 2**63 else None
        if source is None:
            raise Http404
        problem, reason = "", request.POST.get("reason", "")
        if request.method == "POST":
            try:
                file = request.FILES.get("document")
                if file is None:
                    raise InvalidRequest("Choose the file to import.")
                feed = importing.take(source, importing.read(file), actor=actors.of(request), reason=reason)
            except ZelavisError as error:
                problem = error.message
            else:
                named = "" if feed.allowed is None else f", {len(feed.allowed):,} allowed"
                messages.success(request, f"Serial {feed.serial}: {len(feed.revocations):,} revoked{named}.")
                return HttpResponseRedirect(reverse("admin:marketplace_feedsource_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Import a file of {source.name}",
            "opts": self.opts,
            "source": source,
            "problem": problem,
            "reason": reason,
        }
        status = 409 if problem else 200
        return TemplateResponse(request, "admin/marketplace/feedsource/import.html", context, status=status)

    def delete_model(self, request: HttpRequest, obj: FeedSource) -> None:
        audit.record("feed.unfollow", target=f"feed:{obj.name}", actor=audit.actor_of(request))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[FeedSource]) -> None:
        with transaction.atomic():
            for source in queryset:
                self.delete_model(request, source)

    @admin.display(description="holds")
    def freshness(self, source: FeedSource) -> SafeString:
        return badge(following.state(source, now=timezone.now()))

    @admin.display(description="asked", ordering="fetched_at")
    def asked(self, source: FeedSource) -> SafeString:
        return ago(source.fetched_at)
