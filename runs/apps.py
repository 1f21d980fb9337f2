"""The runs app."""

from __future__ import annotations

from django.apps import AppConfig


class RunsConfig(AppConfig):
    """See the package's docstring."""

    name = "runs"
    verbose_name = "Runs"
