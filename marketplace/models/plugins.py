"""A plugin as listed."""

from __future__ import annotations

from django.db import models

from marketplace.models.publishers import Publisher

#: By what else a list of plugins is narrowed.
_FILTERED = ("latest", "license", "kind", "source", "publisher")


class PluginQuerySet(models.QuerySet["Plugin"]):
    """Lists of plugins."""

    def public(self) -> PluginQuerySet:
        """What everybody may see: listed, with an approved release. The only door of every public page and route."""
        return self.filter(state=Plugin.State.LISTED, latest__isnull=False)


class Plugin(models.Model):
    """A name and its listing. Never deleted: a name that was used is used for ever."""

    class State(models.TextChoices):
        """Whether it is shown and can be installed."""

        LISTED = "listed"
        #: Not shown; installed copies stay.
        DELISTED = "delisted"
        #: Taken down: nothing of it can be installed and its name stays taken.
        REMOVED = "removed"

    class Source(models.TextChoices):
        """Who vouches for it."""

        OFFICIAL = "official"
        COMMUNITY = "community"

    name = models.CharField(max_length=64, unique=True)
    #: The name with look-alike characters and separators folded, to find names that read alike.
    skeleton = models.CharField(max_length=64, db_index=True, editable=False)
    publisher = models.ForeignKey(Publisher, on_delete=models.PROTECT, related_name="plugins")
    source = models.CharField(max_length=20, choices=Source.choices, default=Source.COMMUNITY)
    state = models.CharField(max_length=20, choices=State.choices, default=State.LISTED, editable=False)
    #: From the newest approved release.
    title = models.CharField(max_length=100, blank=True)
    description = models.TextField(blank=True)
    license = models.CharField(max_length=100, blank=True)
    kind = models.CharField(max_length=20, blank=True, editable=False)
    latest = models.ForeignKey(
        "marketplace.Release", null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    #: Counts changes of ownership; a site that consented under an older number gets no update by itself.
    ownership = models.PositiveIntegerField(default=1, editable=False)
    transferred_at = models.DateTimeField(null=True, blank=True, editable=False)
    #: Why nobody should begin to use it; empty: it is alive.
    deprecation = models.CharField(max_length=500, blank=True)
    downloads = models.PositiveBigIntegerField(default=0, editable=False)
    installs = models.PositiveIntegerField(default=0, editable=False)
    rating_sum = models.PositiveIntegerField(default=0, editable=False)
    rating_count = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)

    objects = PluginQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        permissions = [
            ("transfer_plugin", "Can transfer plugins to another publisher"),
            ("takedown_plugin", "Can take plugins down"),
        ]
        # Each holds what a list is filtered by: the catalogue's for listed ones, the admin's for all.
        indexes = [
            models.Index(fields=["state", "-updated_at", "-id", *_FILTERED], name="plugin_newest"),
            models.Index(fields=["state", "-downloads", "-id", *_FILTERED], name="plugin_popular"),
            models.Index(fields=["state", "name", "id", *_FILTERED], name="plugin_by_name"),
            models.Index(fields=["name", "id", "state", "source", "publisher"], name="plugin_all_by_name"),
            models.Index(fields=["updated_at", "id", "state", "source", "publisher"], name="plugin_all_updated"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def rating(self) -> float | None:
        """Mean number of stars, one decimal."""
        return round(self.rating_sum / self.rating_count, 1) if self.rating_count else None
