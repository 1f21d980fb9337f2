"""The admin site: a home that answers "what needs me?"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse


@dataclass(frozen=True, kw_only=True)
class Card:
    """A number on the home page that asks for somebody."""

    title: str
    count: int
    #: Where to go to do something about it.
    url: str
    #: One line: what it means, or what to do.
    text: str
    #: ``calm`` when the count is fine, ``notice`` or ``alarm`` when it is not.
    tone: str = "calm"


#: Filled by each app in ``AppConfig.ready``: a function of the request that gives its cards.
CARDS: list[Callable[[HttpRequest], list[Card]]] = []


#: The order of the sidebar; what is not named comes after, by name.
_FIRST = ("marketplace", "zelavis", "sandbox", "runs", "flatpages")


class ZelavisAdminSite(admin.AdminSite):
    """Django's admin with our home, name and styles."""

    site_header = "Zelavis"
    site_title = "Zelavis"
    index_title = "What needs you"
    enable_nav_sidebar = True

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        """The platform's own apps before accounts and jobs."""
        found = super().get_app_list(request, app_label)
        return sorted(found, key=lambda app: _FIRST.index(app["app_label"]) if app["app_label"] in _FIRST else 99)

    def index(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> TemplateResponse:
        from zelavis.models import AuditEvent, Heartbeat

        cards = [card for provider in CARDS for card in provider(request)]
        context: dict[str, object] = {
            "pressing": [card for tone in ("alarm", "notice") for card in cards if card.tone == tone],
            "calm": [card for card in cards if card.tone == "calm"],
            "audit_events": AuditEvent.objects.all()[:10],
            "heartbeats": Heartbeat.objects.order_by("name"),
            **(extra_context or {}),
        }
        return super().index(request, context)
