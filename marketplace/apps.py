"""The marketplace app."""

from __future__ import annotations

from django.apps import AppConfig


class MarketplaceConfig(AppConfig):
    """See the package's docstring."""

    name = "marketplace"
    verbose_name = "Marketplace"

    def ready(self) -> None:
        from marketplace import polling, upkeep
        from marketplace.admin.cards import cards
        from marketplace.authoring.replaying import offered
        from sandbox import tape
        from zelavis.admin.site import CARDS
        from zelavis.wakeups import SOURCES, WakeSource

        if offered not in tape.RELEASES:
            tape.RELEASES.append(offered)
        if cards not in CARDS:
            CARDS.append(cards)
        if not any(source.name == "feeds" for source in SOURCES):
            SOURCES.append(
                WakeSource(name="feeds", task="marketplace.tasks.poll_feeds", seconds_until_next=polling.due)
            )
            SOURCES.append(
                WakeSource(
                    name="audits, rollouts and uploads",
                    task="marketplace.tasks.sweep",
                    seconds_until_next=upkeep.seconds_until_next,
                )
            )
