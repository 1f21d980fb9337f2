"""The marketplace app."""

from __future__ import annotations

from django.apps import AppConfig


class MarketplaceConfig(AppConfig):
    """See the package's docstring."""

    name = "marketplace"
    verbose_name = "Marketplace"
