"""Publishers in the admin: who they are, and whether they may publish."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from marketplace import actors, publishers
from marketplace.lookups import number
from marketplace.models import Publisher
from zelavis.admin.readonly import ReadOnlyAdmin
from zelavis.errors import ZelavisError
from zelavis.templatetags.zelavis_ui import badge

_PERMISSION = "marketplace.verify_publisher"
#: Verb → label, consequence, state it leads to, badge it sets.
VERBS: dict[str, tuple[str, str, str | None, bool | None]] = {
    "verify": ("Verify", "Listings say that this publisher is who the name says.", None, True),
    "unverify": ("Take the badge away", "Listings no longer say who this publisher is.", None, False),
    "suspend": (
        "Suspend",
        "It may not publish and its tokens end; what is published stays as it is.",
        "suspended",
        None,
    ),
    "restore": ("Restore", "It may publish again; its tokens stay ended.", "active", None),
}


@admin.register(Publisher)
class PublisherAdmin(ReadOnlyAdmin):
    """Every publisher."""

    list_display = ("slug", "name", "shown_state", "verified", "created_at")
    list_filter = ("state", "verified")
    search_fields = ("slug", "name")
    search_help_text = "Slug or name"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:object_id>/verb/<str:verb>/", wrap(self.verb_view), name="marketplace_publisher_verb"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """People, keys, tokens and plugins of one publisher."""
        publisher = self._get(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": publisher.name,
            "opts": self.opts,
            "original": publisher,
            "publisher": publisher,
            "members": publisher.memberships.select_related("user"),
            "keys": publisher.keys.all(),
            "tokens": publisher.tokens.select_related("plugin"),
            "plugins": publisher.plugins.all()[:200],
            "verbs": self._possible(publisher) if request.user.has_perm(_PERMISSION) else [],
        }
        return TemplateResponse(request, "admin/marketplace/publisher/page.html", context)

    def verb_view(self, request: HttpRequest, object_id: int, verb: str) -> HttpResponse:
        """Ask why, then do it."""
        publisher = self._get(request, object_id)
        if verb not in VERBS:
            raise Http404
        if not request.user.has_perm(_PERMISSION):
            raise PermissionDenied
        label, consequence, state, verified = VERBS[verb]
        problem = ""
        if request.method == "POST":
            try:
                publishers.set_state(
                    publisher,
                    state=state,
                    verified=verified,
                    actor=actors.of(request),
                    reason=request.POST.get("reason", ""),
                )
            except ZelavisError as error:
                if error.status == 403:
                    raise PermissionDenied(error.message) from error
                problem = error.message
            else:
                messages.success(request, f"{label}: {publisher.slug}.")
                return HttpResponseRedirect(reverse("admin:marketplace_publisher_change", args=[publisher.pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": f"{label}: {publisher.slug}",
            "opts": self.opts,
            "publisher": publisher,
            "label": label,
            "consequence": consequence,
            "problem": problem,
            "reason": request.POST.get("reason", ""),
        }
        status = 409 if problem else 200
        return TemplateResponse(request, "admin/marketplace/publisher/confirm.html", context, status=status)

    def _possible(self, publisher: Publisher) -> list[tuple[str, str]]:
        suspended = publisher.state == Publisher.State.SUSPENDED
        names = ["restore"] if suspended else ["unverify" if publisher.verified else "verify", "suspend"]
        return [(name, VERBS[name][0]) for name in names]

    def _get(self, request: HttpRequest, object_id: str | int) -> Publisher:
        if not self.has_view_permission(request):
            raise PermissionDenied
        key = number(object_id)
        publisher = Publisher.objects.filter(pk=key).first() if key is not None else None
        if publisher is None:
            raise Http404
        return publisher

    @admin.display(description="state", ordering="state")
    def shown_state(self, publisher: Publisher) -> SafeString:
        return badge(publisher.state)
