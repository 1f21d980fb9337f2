"""Rows that machines write: seen in the admin, changed only by verbs."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.http import HttpRequest, HttpResponse

_OURS = re.compile(r"[a-z]+_[0-9a-z]{26}")


def real_id(object_id: str) -> str:
    """The key behind the last part of a page's address.

    Django's own lists write ``_`` as ``_5F``, and its pages turn every ``_XX`` back; links made from a key
    carry it as it is. Both lead to the same page.
    """
    return object_id if _OURS.fullmatch(object_id) else unquote(object_id)


class ReadOnlyAdmin(admin.ModelAdmin):
    """No adding, no editing, no deleting. Verbs are buttons with views of their own."""

    show_full_result_count = False
    list_per_page = 50

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        address = quote(real_id(object_id)) if object_id else None
        return super().changeform_view(request, address, form_url, extra_context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Actions of the list ask for it; a single row is only ever viewed.
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def may(self, request: HttpRequest) -> bool:
        """Whether this person may use the verbs of these rows."""
        return super().has_change_permission(request)
