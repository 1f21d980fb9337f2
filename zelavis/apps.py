"""The core app."""

from __future__ import annotations

import importlib
import pkgutil

from django.apps import AppConfig


class ZelavisConfig(AppConfig):
    """Registry, activation, adapters, hooks; tokens and the audit log."""

    name = "zelavis"
    verbose_name = "Registry"

    def ready(self) -> None:
        from zelavis import admin, checks  # noqa: F401  checks registers the system checks

        # Django's autodiscovery finds this package already imported (its apps module names the site), so its pages
        # are brought in here.
        for page in pkgutil.iter_modules(admin.__path__):
            importlib.import_module(f"zelavis.admin.{page.name}")
        from zelavis import startup

        startup.connect()
