"""The product's settings with the app of test workflows, for servers that tests start."""

from __future__ import annotations

from zelavis.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.runs.flows"]  # noqa: F405
