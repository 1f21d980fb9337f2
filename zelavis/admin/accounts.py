"""Accounts and roles: Django's own pages, without the widgets that a screen reader cannot use."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest

from zelavis import audit
from zelavis.models import ApiToken

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class AccountAdmin(UserAdmin):
    """People. What they may do comes from their roles."""

    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("May", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
    )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, set[str], Any]:
        """What goes with the accounts. Nobody deletes a token by itself, but those of an account end with it."""
        listed, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return listed, counts, set(lacking) - {ApiToken._meta.verbose_name}, protected

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        _record_ended_tokens(request, User.objects.filter(pk=obj.pk))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        _record_ended_tokens(request, queryset)
        super().delete_queryset(request, queryset)


def _record_ended_tokens(request: HttpRequest, accounts: QuerySet[User]) -> None:
    """Each token that still opened something, and that it ended with its account."""
    for token in ApiToken.objects.filter(owner__in=accounts, revoked_at=None):
        reason = f"The account {token.owner} was deleted."
        audit.record("token.revoke", target=f"token:{token.name}", actor=audit.actor_of(request), reason=reason)


@admin.register(Group)
class RoleAdmin(GroupAdmin):
    """Roles. The three of the platform are kept current after each migrate."""

    filter_horizontal = ()
