"""Ratings in the admin: what sites say about plugins, and hiding what is abuse."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from marketplace import actors, moderation
from marketplace.admin.lists import BehindFilter, CappedAdmin
from marketplace.models import Plugin, Rating
from zelavis import audit
from zelavis.errors import ZelavisError
from zelavis.templatetags.zelavis_ui import ago, badge


@admin.register(Rating)
class RatingAdmin(CappedAdmin):
    """Every rating, newest first."""

    list_display = ("plugin", "stars", "shown_text", "version", "author", "shown_state", "when")
    list_filter = ("hidden", BehindFilter)
    list_select_related = ("plugin",)
    sortable_by = ("when",)
    search_fields = ("plugin__name",)
    search_help_text = "Name of a plugin"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Rating], search_term: str
    ) -> tuple[QuerySet[Rating], bool]:
        word = search_term.strip().lower()
        if not word:
            return queryset, False
        return queryset.filter(plugin__in=list(Plugin.objects.filter(name=word).values_list("pk", flat=True))), False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:object_id>/verb/<str:verb>/", wrap(self.verb_view), name="marketplace_rating_verb"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The rating, and what was done about it."""
        rating = self._get(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{rating.stars} stars for {rating.plugin.name}",
            "opts": self.opts,
            "original": rating,
            "rating": rating,
            "events": audit.events().filter(target=f"rating:{rating.plugin.name}#{rating.pk}")[:50],
            "verbs": moderation.possible(rating, actors.of(request)),
        }
        return TemplateResponse(request, "admin/marketplace/rating/page.html", context)

    def verb_view(self, request: HttpRequest, object_id: int, verb: str) -> HttpResponse:
        """Ask why, then do it."""
        rating, wanted, problem = self._get(request, object_id), moderation.VERBS.get(verb), ""
        if wanted is None:
            raise Http404
        if not request.user.has_perm(wanted.permission):
            raise PermissionDenied
        if request.method == "POST":
            try:
                moderation.act(rating, verb, actor=actors.of(request), reason=request.POST.get("reason", ""))
            except ZelavisError as error:
                if error.status == 403:
                    raise PermissionDenied(error.message) from error
                problem = error.message
            else:
                messages.success(request, f"{wanted.label}: a rating of {rating.plugin.name}.")
                return HttpResponseRedirect(reverse("admin:marketplace_rating_change", args=[rating.pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": f"{wanted.label}: {rating.stars} stars for {rating.plugin.name}",
            "opts": self.opts,
            "rating": rating,
            "verb": wanted,
            "problem": problem,
            "reason": request.POST.get("reason", ""),
        }
        return TemplateResponse(
            request, "admin/marketplace/rating/confirm.html", context, status=409 if problem else 200
        )

    def _get(self, request: HttpRequest, object_id: str | int) -> Rating:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            return moderation.find(object_id)
        except ZelavisError as error:
            raise Http404 from error

    @admin.display(description="text")
    def shown_text(self, rating: Rating) -> str:
        return rating.text if len(rating.text) <= 120 else f"{rating.text[:119]}…"

    @admin.display(description="state")
    def shown_state(self, rating: Rating) -> SafeString:
        return badge("hidden" if rating.hidden else "shown")

    @admin.display(description="written", ordering="created_at")
    def when(self, rating: Rating) -> SafeString:
        return ago(rating.created_at)
