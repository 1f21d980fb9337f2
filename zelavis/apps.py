"""The core app."""

from __future__ import annotations

from django.apps import AppConfig


class ZelavisConfig(AppConfig):
    """Registry, activation, adapters, hooks; tokens and the audit log."""

    name = "zelavis"
    verbose_name = "Plugins"

    def ready(self) -> None:
        from zelavis import checks  # noqa: F401  registers the system checks
