"""Rows that machines write: seen in the admin, changed only by verbs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest


class ReadOnlyAdmin(admin.ModelAdmin):
    """No adding, no editing, no deleting. Verbs are buttons with views of their own."""

    show_full_result_count = False
    list_per_page = 50

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
