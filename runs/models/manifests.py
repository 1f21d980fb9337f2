"""What starts runs by itself: manifests with their event filters and schedules, and the events that came.

Times are integer milliseconds since the epoch; documents are ordered JSON text.
"""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q

from runs.models.run import moment


class Manifest(models.Model):
    """A registered description of workflows, event filters and schedules of an environment."""

    id = models.BigAutoField(primary_key=True)
    #: Of the token that registered it; empty: the installation's own.
    tenant = models.CharField(max_length=200, default="")
    environment = models.CharField(max_length=40)
    version_id = models.CharField(max_length=200)
    #: The manifest as it was sent.
    document = models.TextField()
    #: JSON list of what in it cannot be used, one text each.
    warnings = models.TextField(default="[]")
    #: The one that events and schedules go by.
    current = models.BooleanField(default=True)
    registered_at = models.BigIntegerField()

    class Meta:
        db_table = "runs_manifest"
        ordering = ["-registered_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "environment", "version_id"], name="runs_manifest_version"),
            models.UniqueConstraint(
                fields=["tenant", "environment"], name="runs_manifest_current", condition=Q(current=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.environment} {self.version_id}"

    @property
    def registered(self) -> datetime | None:
        """When it came, or came again."""
        return moment(self.registered_at)


class EventFilter(models.Model):
    """A rule of the current manifest: which event starts which workflow. Rebuilt with each registration."""

    id = models.BigAutoField(primary_key=True)
    manifest = models.ForeignKey(Manifest, models.CASCADE, related_name="filters")
    ordinal = models.IntegerField()
    filter_id = models.CharField(max_length=200)
    event_type = models.CharField(max_length=200)
    workflow_id = models.CharField(max_length=200)
    #: ``{where?, input?, options: {timeoutMs?, concurrency?}}``.
    rule = models.TextField()

    class Meta:
        db_table = "runs_filter"
        ordering = ["ordinal"]
        indexes = [models.Index(fields=["manifest", "event_type", "ordinal"], name="runs_filter_event")]

    def __str__(self) -> str:
        return self.filter_id


class Schedule(models.Model):
    """When a workflow starts by itself. The row outlives the version of the manifest that declared it."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.CharField(max_length=200, default="")
    environment = models.CharField(max_length=40)
    version_id = models.CharField(max_length=200)
    #: ``{versionId}:{workflowId}:{label}``.
    schedule_id = models.CharField(max_length=620)
    workflow_id = models.CharField(max_length=200)
    #: Its name, or its place in the workflow's list.
    label = models.CharField(max_length=200)
    #: ``{cron|every|at, timezone?, input?, enabled?, overlap?, environments?, name?, missed?}`` as declared.
    declaration = models.TextField()
    #: ``{timeoutMs?, concurrency?}`` of the workflow.
    options = models.TextField(default="{}")
    enabled = models.BooleanField(default=True)
    #: ``registration_disabled`` or ``env_filtered``.
    disabled_reason = models.CharField(max_length=40, default="")
    #: By an operator; kept when a new version is registered.
    paused = models.BooleanField(default=False)
    #: The next slot: its alarm. ``None``: it does not come again.
    next_at = models.BigIntegerField(null=True)
    #: The slot that was fired last.
    last_fire_at = models.BigIntegerField(null=True)
    last_run_id = models.CharField(max_length=400, default="")
    last_successful_run_at = models.BigIntegerField(null=True)
    #: When a slot was last passed over, because a run was under way or the slot was missed.
    last_skipped_at = models.BigIntegerField(null=True)
    last_error = models.TextField(default="")
    updated_at = models.BigIntegerField()

    class Meta:
        db_table = "runs_schedule"
        ordering = ["workflow_id", "label"]
        indexes = [
            models.Index(
                fields=["next_at"],
                name="runs_schedule_due",
                condition=Q(next_at__isnull=False, enabled=True, paused=False),
            )
        ]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "environment", "workflow_id", "label"], name="runs_schedule_once")
        ]

    def __str__(self) -> str:
        return f"{self.workflow_id} {self.label}"

    @property
    def next(self) -> datetime | None:
        """When it comes next."""
        return moment(self.next_at)

    @property
    def last(self) -> datetime | None:
        """The slot that was fired last."""
        return moment(self.last_fire_at)

    @property
    def skipped(self) -> datetime | None:
        """When a slot was last passed over."""
        return moment(self.last_skipped_at)


class EventReceipt(models.Model):
    """An event that came, with what it started and, while that goes on, what it resolves."""

    id = models.CharField(primary_key=True, max_length=40)
    tenant = models.CharField(max_length=200, default="")
    environment = models.CharField(max_length=40)
    #: The caller's, up to 300 characters, or made from name and time.
    event_id = models.CharField(max_length=600)
    name = models.CharField(max_length=400)
    #: Times it came.
    deliveries = models.IntegerField(default=1)
    #: JSON list: one entry per filter, as answered.
    matches = models.TextField(default="[]")
    #: JSON text of the data, kept while waiting runs are resolved; ``None``: no data, or done.
    payload = models.TextField(null=True)
    #: Runs whose wait it resolved.
    resolved = models.IntegerField(default=0)
    #: Waiting runs are visited in the order of their ids; up to here it is done.
    cursor = models.CharField(max_length=400, default="")
    #: When a worker has to go on with waiting runs; ``None``: nothing to do.
    wake_at = models.BigIntegerField(null=True)
    created_at = models.BigIntegerField()

    class Meta:
        db_table = "runs_event"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["wake_at"], name="runs_event_wake", condition=Q(wake_at__isnull=False)),
            models.Index(fields=["created_at"], name="runs_event_created"),
        ]
        constraints = [models.UniqueConstraint(fields=["tenant", "environment", "event_id"], name="runs_event_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.event_id}"

    @property
    def created(self) -> datetime | None:
        """When it first came."""
        return moment(self.created_at)
