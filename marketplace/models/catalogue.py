"""What the public catalogue searches and counts."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from marketplace.models.plugins import Plugin
from marketplace.models.releases import Release


class SearchTerm(models.Model):
    """One word of a listing. A search is a range of an index, on every database alike."""

    plugin = models.ForeignKey(Plugin, on_delete=models.CASCADE, related_name="terms")
    term = models.CharField(max_length=40)
    #: 8 the name, 4 the title or a keyword, 2 the publisher, 1 the description.
    weight = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["term", "plugin"], name="search_term_once")]
        # For prefixes on PostgreSQL, whose index of a text column has the order of a language.
        indexes = [models.Index(fields=["term"], name="search_term_prefix", opclasses=["varchar_pattern_ops"])]

    def __str__(self) -> str:
        return self.term


class PluginCapability(models.Model):
    """A capability of the newest approved release, for the facet."""

    plugin = models.ForeignKey(Plugin, on_delete=models.CASCADE, related_name="capability_rows")
    capability = models.CharField(max_length=40)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["capability", "plugin"], name="plugin_capability_once")]

    def __str__(self) -> str:
        return self.capability


class PluginKeyword(models.Model):
    """A keyword of the newest approved release, for the facet."""

    plugin = models.ForeignKey(Plugin, on_delete=models.CASCADE, related_name="keyword_rows")
    keyword = models.CharField(max_length=40)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["keyword", "plugin"], name="plugin_keyword_once")]

    def __str__(self) -> str:
        return self.keyword


class Install(models.Model):
    """A site that has installed a plugin, proven by a token or by this server's own registry."""

    plugin = models.ForeignKey(Plugin, on_delete=models.CASCADE, related_name="install_rows")
    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="+")
    #: Keyed hash of the token or of this site: tells sites apart and names none.
    site = models.CharField(max_length=64)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["plugin", "site"], name="install_once_per_site")]

    def __str__(self) -> str:
        return f"{self.plugin} at {self.site[:8]}"


class Download(models.Model):
    """One counted download: once per day, release and subject (token, or network of the address)."""

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="+")
    day = models.DateField()
    #: Keyed hash; the key changes every day, so that days cannot be joined.
    subject = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", "release", "subject"], name="download_once_a_day")]

    def __str__(self) -> str:
        return f"{self.release_id} {self.day}"


class Rating(models.Model):
    """Stars from somebody whose site has installed the plugin."""

    plugin = models.ForeignKey(Plugin, on_delete=models.CASCADE, related_name="ratings")
    install = models.OneToOneField(Install, on_delete=models.CASCADE, related_name="rating")
    version = models.CharField(max_length=64)
    author = models.CharField(max_length=200)
    stars = models.PositiveSmallIntegerField()
    text = models.CharField(max_length=2000, blank=True)
    #: Hidden by a curator: not shown and not counted.
    hidden = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at", "-id"]
        permissions = [("moderate_rating", "Can hide ratings and show them again")]
        indexes = [
            models.Index(fields=["-created_at", "-id", "hidden"], name="rating_newest"),
            models.Index(fields=["plugin", "hidden", "-created_at", "-id"], name="rating_of_plugin"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(stars__gte=1, stars__lte=5), name="rating_one_to_five")
        ]

    def __str__(self) -> str:
        return f"{self.stars} for {self.plugin}"
