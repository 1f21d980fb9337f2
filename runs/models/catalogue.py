"""What is registered: manifests, their event filters and schedules, and where workflows run."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Manifest(models.Model):
    """A registered description of workflows, event filters and schedules of an environment."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.CharField(max_length=200, default="")
    environment = models.CharField(max_length=40)
    version_id = models.CharField(max_length=200)
    #: The manifest as it was sent.
    document = models.TextField()
    #: The one that events and schedules go by.
    current = models.BooleanField(default=True)
    registered_at = models.BigIntegerField()

    class Meta:
        db_table = "runs_manifest"
        ordering = ["-registered_at"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "environment", "version_id"], name="runs_manifest_version"),
            models.UniqueConstraint(
                fields=["tenant", "environment"], name="runs_manifest_current", condition=Q(current=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.environment} {self.version_id}"


class EventFilter(models.Model):
    """A rule of the current manifest: which event starts which workflow. Rebuilt with each registration."""

    id = models.BigAutoField(primary_key=True)
    manifest = models.ForeignKey(Manifest, models.CASCADE, related_name="filters")
    ordinal = models.IntegerField()
    filter_id = models.CharField(max_length=200)
    event_type = models.CharField(max_length=200)
    workflow_id = models.CharField(max_length=200)
    #: ``{where?, input?}`` as in the manifest.
    rule = models.TextField()

    class Meta:
        db_table = "runs_filter"
        indexes = [models.Index(fields=["manifest", "event_type"], name="runs_filter_event")]

    def __str__(self) -> str:
        return self.filter_id


class Schedule(models.Model):
    """When a workflow starts by itself. ``next_at`` is its alarm."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.CharField(max_length=200, default="")
    environment = models.CharField(max_length=40)
    version_id = models.CharField(max_length=200)
    schedule_id = models.CharField(max_length=400)
    workflow_id = models.CharField(max_length=200)
    #: ``{cron|every|at, timezone?, input?, enabled?, overlap?, environments?, name?, missed?}`` as declared.
    declaration = models.TextField()
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=40, default="")
    next_at = models.BigIntegerField(null=True)
    last_fire_at = models.BigIntegerField(null=True)
    last_run_id = models.CharField(max_length=400, default="")
    last_successful_run_at = models.BigIntegerField(null=True)
    last_error = models.TextField(default="")
    updated_at = models.BigIntegerField()

    class Meta:
        db_table = "runs_schedule"
        ordering = ["workflow_id", "schedule_id"]
        indexes = [
            models.Index(fields=["next_at"], name="runs_schedule_due", condition=Q(next_at__isnull=False, enabled=True))
        ]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "environment", "schedule_id"], name="runs_schedule_once")
        ]

    def __str__(self) -> str:
        return self.schedule_id


class Dispatcher(models.Model):
    """Where step requests of a tenant or a workflow go, when not to this process or the configured default."""

    HTTP, SERVICE = "http", "service"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=[(HTTP, "HTTP URL"), (SERVICE, "Sibling service")], default=HTTP)
    #: ``http(s)://…``; for a service also ``unix:/path/to.sock``.
    url = models.CharField(max_length=500)
    #: HMAC key of the requests, encrypted with the server's key; empty: unsigned (services on this machine only).
    secret = models.TextField(default="", blank=True)
    #: Only runs of this tenant; empty: all.
    tenant = models.CharField(max_length=200, default="", blank=True)
    #: Only this workflow, or all whose name starts with the part before ``*``; empty: all.
    workflow = models.CharField(max_length=200, default="", blank=True)
    timeout_seconds = models.FloatField(default=60.0)
    enabled = models.BooleanField(default=True)

    class Meta:
        db_table = "runs_dispatcher"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
