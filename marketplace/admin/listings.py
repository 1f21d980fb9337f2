"""Listings in the admin: what a plugin is, what it has released, and the deeds about the whole of it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from marketplace import actors, catalogue, plugins
from marketplace.admin.lists import BehindFilter, CappedAdmin
from marketplace.lookups import number
from marketplace.models import Plugin, Publisher, Release
from zelavis.errors import ZelavisError
from zelavis.templatetags.zelavis_ui import ago, badge


@admin.register(Plugin)
class PluginAdmin(CappedAdmin):
    """Every name there is."""

    list_display = ("name", "title", "publisher", "shown_state", "source", "shown_latest", "installs", "shown_updated")
    list_filter = ("state", "source", BehindFilter)
    sortable_by = ("name", "shown_updated")
    list_select_related = ("publisher", "latest")
    search_fields = ("name",)
    search_help_text = "Beginning of the name, or a publisher"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Plugin], search_term: str
    ) -> tuple[QuerySet[Plugin], bool]:
        word = search_term.strip().lower()
        if not word:
            return queryset, False
        publishers = list(Publisher.objects.filter(slug=word).values_list("pk", flat=True))
        own = Q(publisher__in=publishers) if publishers else Q(pk__in=[])
        return queryset.filter(catalogue.beginning("name", word) | own), False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:object_id>/verb/<str:verb>/", wrap(self.verb_view), name="marketplace_plugin_verb"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The listing with all its releases."""
        plugin = self._get(request, object_id)
        releases = Release.objects.filter(plugin=plugin).select_related("plugin").order_by("-version_sort")[:200]
        context = {
            **self.admin_site.each_context(request),
            "title": plugin.name,
            "opts": self.opts,
            "original": plugin,
            "plugin": plugin,
            "releases": releases,
            "transfers": plugin.transfers.select_related("source", "target"),
            "verbs": plugins.possible(plugin, actors.of(request)),
        }
        return TemplateResponse(request, "admin/marketplace/plugin/listing.html", context)

    def verb_view(self, request: HttpRequest, object_id: int, verb: str) -> HttpResponse:
        """Ask why, then do it."""
        plugin = self._get(request, object_id)
        wanted = plugins.VERBS.get(verb)
        if wanted is None:
            raise Http404
        if not request.user.has_perm(wanted.permission):
            raise PermissionDenied
        problem = ""
        if request.method == "POST":
            try:
                plugins.act(
                    plugin,
                    verb,
                    actor=actors.of(request),
                    reason=request.POST.get("reason", ""),
                    value=request.POST.get("value", ""),
                )
            except ZelavisError as error:
                if error.status == 403:
                    raise PermissionDenied(error.message) from error
                problem = error.message
            else:
                messages.success(request, f"{wanted.label}: {plugin.name}.")
                return HttpResponseRedirect(reverse("admin:marketplace_plugin_change", args=[plugin.pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": f"{wanted.label}: {plugin.name}",
            "opts": self.opts,
            "plugin": plugin,
            "verb": wanted,
            "problem": problem,
            "reason": request.POST.get("reason", ""),
            "value": request.POST.get("value", ""),
        }
        return TemplateResponse(
            request, "admin/marketplace/plugin/confirm.html", context, status=409 if problem else 200
        )

    def _get(self, request: HttpRequest, object_id: str | int) -> Plugin:
        if not self.has_view_permission(request):
            raise PermissionDenied
        key = number(object_id)
        found = Plugin.objects.select_related("publisher", "latest")
        plugin = found.filter(pk=key).first() if key is not None else None
        if plugin is None:
            raise Http404
        return plugin

    @admin.display(description="state")
    def shown_state(self, plugin: Plugin) -> SafeString:
        return badge(plugin.state)

    @admin.display(description="newest")
    def shown_latest(self, plugin: Plugin) -> str:
        return plugin.latest.version if plugin.latest else "–"

    @admin.display(description="updated", ordering="updated_at")
    def shown_updated(self, plugin: Plugin) -> SafeString:
        return ago(plugin.updated_at)
