"""Puts Zelavis's own site in the place of Django's."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class ZelavisAdminConfig(AdminConfig):
    """``admin.site`` and ``@admin.register`` mean our site, in every app."""

    default_site = "zelavis.admin.site.ZelavisAdminSite"
