"""What plugins store. ``sandbox.models`` imports this module; Django finds the rows there."""

from __future__ import annotations

from django.db import models

from sandbox.capabilities.fields import BytewiseCharField


class PluginUsage(models.Model):
    """How much a plugin keeps in one store; locked while a call commits to it."""

    plugin = models.CharField(max_length=64)
    store = models.CharField(max_length=20)
    count = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)

    class Meta:
        app_label = "sandbox"
        constraints = [models.UniqueConstraint(fields=["plugin", "store"], name="usage_once")]
        verbose_name_plural = "plugin usage"

    def __str__(self) -> str:
        return f"{self.plugin} {self.store}: {self.count} in {self.bytes} B"


class PluginMeter(models.Model):
    """How often a plugin did something in one hour."""

    plugin = models.CharField(max_length=64)
    meter = models.CharField(max_length=200)
    #: Whole hours since 1970.
    hour = models.BigIntegerField()
    used = models.BigIntegerField(default=0)

    class Meta:
        app_label = "sandbox"
        constraints = [models.UniqueConstraint(fields=["plugin", "meter", "hour"], name="meter_once")]
        indexes = [models.Index(fields=["hour"], name="meter_by_hour")]

    def __str__(self) -> str:
        return f"{self.plugin} {self.meter}: {self.used}"


class PluginValue(models.Model):
    """One key of a plugin's ``kv``. The value is JSON text, kept as the plugin wrote it."""

    plugin = models.CharField(max_length=64)
    key = BytewiseCharField(max_length=512)
    value = models.TextField()
    #: Milliseconds since 1970; empty: never.
    expires_ms = models.BigIntegerField(null=True, blank=True)
    #: Bytes of key and value.
    size = models.BigIntegerField()
    updated_ms = models.BigIntegerField()

    class Meta:
        app_label = "sandbox"
        constraints = [models.UniqueConstraint(fields=["plugin", "key"], name="value_once")]
        indexes = [
            models.Index(fields=["expires_ms"], name="value_expiry", condition=models.Q(expires_ms__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.plugin}: {self.key}"
