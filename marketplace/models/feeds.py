"""The kill switch on the wire: what we revoke, whose feeds we follow, and what they say."""

from __future__ import annotations

from django.db import models


class FeedEntry(models.Model):
    """One line of our own revocation feed. The primary key is the serial: it only grows."""

    serial = models.BigAutoField(primary_key=True)
    plugin = models.CharField(max_length=64)
    version = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    #: ``quarantine``, ``yank``, ``remove`` or ``restore``.
    action = models.CharField(max_length=20)
    reason = models.CharField(max_length=500)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["serial"]
        verbose_name_plural = "feed entries"
        indexes = [models.Index(fields=["digest", "serial"], name="feed_entry_newest")]

    def __str__(self) -> str:
        return f"{self.serial} {self.action} {self.plugin}@{self.version}"


class FeedSource(models.Model):
    """A marketplace elsewhere whose signed feed and allow-list we follow."""

    class Policy(models.TextChoices):
        """What a feed that cannot be trusted to be fresh means for installs."""

        #: Nothing new installs; what runs stays.
        CLOSED = "closed"
        #: Go on with the newest list we hold.
        OPEN = "open"

    name = models.CharField(max_length=64, unique=True)
    #: Where to ask; empty: nowhere, its documents are imported as files.
    url = models.URLField(max_length=500, blank=True)
    #: Raw Ed25519 public key, base64.
    public_key = models.CharField(max_length=60)
    policy = models.CharField(max_length=10, choices=Policy.choices, default=Policy.CLOSED)
    #: Seconds after a feed's expiry during which it still counts.
    grace_seconds = models.PositiveIntegerField(default=7 * 24 * 3600)
    #: Every how many seconds to ask.
    every_seconds = models.PositiveIntegerField(default=300)
    enabled = models.BooleanField(default=True)
    #: Whether this site installs only what an allow-list of such a source names.
    only_allowed = models.BooleanField(
        default=False, help_text="Install nothing but what the newest allow-list of such a source names."
    )
    #: Highest serial ever accepted; a lower one is refused.
    serial = models.BigIntegerField(default=0, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    #: The envelope as received; verified again at each reading.
    document = models.TextField(blank=True, editable=False)
    fetched_at = models.DateTimeField(null=True, blank=True, editable=False)
    #: When to ask next.
    wake_at = models.DateTimeField(null=True, blank=True, db_index=True, editable=False)
    #: ``ok``, ``unreachable``, ``invalid``, ``stale`` or ``expired``; of the last attempt.
    outcome = models.CharField(max_length=20, blank=True, editable=False)
    detail = models.CharField(max_length=300, blank=True, editable=False)

    class Meta:
        ordering = ["name"]
        permissions = [("import_feedsource", "Can import feeds and allow-lists from files")]

    def __str__(self) -> str:
        return self.name


class ForeignRevocation(models.Model):
    """What a followed feed says about a digest now."""

    source = models.ForeignKey(FeedSource, on_delete=models.CASCADE, related_name="revocations")
    plugin = models.CharField(max_length=64)
    version = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, db_index=True)
    action = models.CharField(max_length=20)
    reason = models.CharField(max_length=500)
    serial = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "digest"], name="foreign_revocation_once")]

    def __str__(self) -> str:
        return f"{self.action} {self.plugin}@{self.version}"


class AllowedDigest(models.Model):
    """A digest that the newest allow-list of a source names."""

    source = models.ForeignKey(FeedSource, on_delete=models.CASCADE, related_name="allowed")
    digest = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["digest", "source"], name="allowed_digest_once")]

    def __str__(self) -> str:
        return self.digest
