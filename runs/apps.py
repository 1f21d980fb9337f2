"""The runs app."""

from __future__ import annotations

from django.apps import AppConfig
from django.http import HttpRequest
from django.utils.module_loading import autodiscover_modules

from zelavis.admin.site import CARDS, Card
from zelavis.wakeups import SOURCES, WakeSource


class RunsConfig(AppConfig):
    """See the package's docstring."""

    name = "runs"
    verbose_name = "Runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from runs import alarms, capabilities, metrics
        from runs.manifests import sources
        from zelavis import metrics as monitoring

        SOURCES.append(WakeSource(name="runs", task="runs.tasks.work", seconds_until_next=alarms.seconds_until_next))
        SOURCES.extend(sources.SOURCES)
        CARDS.append(_cards)
        capabilities.register()
        monitoring.SOURCES.append(metrics.figures)
        autodiscover_modules("workflows")


def _cards(request: HttpRequest) -> list[Card]:
    from runs.admin import manifests, pages

    return [*pages.cards(request), *manifests.cards(request)]
