"""The product's settings, and one more app with workflows that take their time."""

from __future__ import annotations

from zelavis.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.acceptance.slow"]  # type: ignore[name-defined]  # noqa: F405
