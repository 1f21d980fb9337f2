"""Rows of the sandbox: the ledger of calls, and what plugins store (``sandbox.capabilities.models``)."""

from __future__ import annotations

from django.db import models

from sandbox.capabilities.models import *  # noqa: F403  each app's rows are found through its models module
from sandbox.outcome import OutcomeStatus


class Invocation(models.Model):
    """One call of a plugin and what came of it. Written once, never changed."""

    id = models.CharField(primary_key=True, max_length=64, editable=False)
    created_at = models.DateTimeField()
    plugin = models.CharField(max_length=64)
    version = models.CharField(max_length=64)
    #: sha256 of the source that ran.
    digest = models.CharField(max_length=64)
    hook = models.CharField(max_length=120)
    status = models.CharField(max_length=20, choices=[(one.value, one.value) for one in OutcomeStatus])
    duration_ms = models.FloatField()
    memory_bytes = models.BigIntegerField(default=0)
    fuel = models.BigIntegerField(null=True, blank=True)
    host_calls = models.IntegerField(default=0)
    #: How many host calls were refused.
    refusals = models.IntegerField(default=0)
    #: JSON texts, cut to a size: the result, the error, the refusals one by one, the log.
    result = models.TextField(blank=True)
    error = models.TextField(blank=True)
    refused = models.TextField(blank=True)
    logs = models.TextField(blank=True)
    #: For operators alone.
    operator_detail = models.TextField(blank=True)
    correlation = models.CharField(max_length=200, blank=True)
    actor = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["-created_at"], name="invocation_newest"),
            models.Index(fields=["plugin", "-created_at"], name="invocation_plugin"),
            models.Index(
                fields=["-created_at"], name="invocation_failed", condition=~models.Q(status=OutcomeStatus.OK.value)
            ),
            models.Index(fields=["correlation"], name="invocation_correlation", condition=~models.Q(correlation="")),
        ]

    def __str__(self) -> str:
        return f"{self.plugin} {self.version} {self.hook}: {self.status}"
