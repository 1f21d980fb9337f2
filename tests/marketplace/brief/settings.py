"""The product's settings, and a feed that expires while somebody watches."""

from __future__ import annotations

from zelavis.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.marketplace.brief"]  # type: ignore[name-defined]  # noqa: F405
