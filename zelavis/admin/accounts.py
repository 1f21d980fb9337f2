"""Accounts and roles: Django's own pages, without the widgets that a screen reader cannot use."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User

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


@admin.register(Group)
class RoleAdmin(GroupAdmin):
    """Roles. The three of the platform are kept current after each migrate."""

    filter_horizontal = ()
