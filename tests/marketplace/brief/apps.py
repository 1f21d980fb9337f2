"""Makes the server give out one feed for good, which is valid for seconds."""

from __future__ import annotations

from datetime import timedelta

from django.apps import AppConfig

#: Seconds from the first question to this server until its feed has expired.
LASTS = 10


class BriefConfig(AppConfig):
    """See the module."""

    name = "tests.marketplace.brief"

    def ready(self) -> None:
        from marketplace import feed

        feed.LASTS, feed.KEPT = timedelta(seconds=LASTS), 3600
