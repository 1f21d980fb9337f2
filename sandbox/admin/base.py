"""Rows that machines write: seen in the admin, never edited there."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.template import engines
from django.utils.safestring import SafeString


class RecordAdmin(admin.ModelAdmin):
    """No adding, no editing, no deleting."""

    show_full_result_count = False
    list_per_page = 50

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        address = quote(self.real_id(object_id)) if object_id else None
        return super().changeform_view(request, address, form_url, extra_context)

    def real_id(self, address: str) -> str:
        """The key behind an address: Django writes ``_`` as ``_5F``, links made from a key carry it as it is."""
        found = self.model._default_manager.filter(pk=address).exists() if self._can_be_key(address) else False
        return address if found else unquote(address)

    def _can_be_key(self, address: str) -> bool:
        return self.model._meta.pk.get_internal_type() == "CharField" or address.isdigit()

    def row(self, address: str) -> Any:
        """The row behind an address, or 404."""
        key = self.real_id(address)
        found = self.model._default_manager.filter(pk=key).first() if self._can_be_key(key) else None
        if found is None:
            raise Http404
        return found

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def operates(request: HttpRequest) -> bool:
    """Whether this person sees host details and runs calls again: an operator, not a viewer."""
    return request.user.has_perm("sandbox.change_tape")


def draw(source: str, **context: Any) -> SafeString:
    """A fragment in the words of the admin's own template tags; values are escaped."""
    return SafeString(engines["django"].from_string("{% load zelavis_ui %}" + source).render(context))


def badge(state: str) -> SafeString:
    """A state as the whole admin shows states."""
    return draw("{% badge state %}", state=state)
