"""Hooks that wait to be delivered, schedules that wait for their time, plugins that are let rest."""

from __future__ import annotations

from django.db import models


class HookEvent(models.Model):
    """An after-hook, committed with what it tells of, delivered by a worker."""

    class State(models.TextChoices):
        """Where it stands."""

        WAITING = "waiting"
        DONE = "done"
        #: Given up after its last pass, or refused by the loop guard.
        DROPPED = "dropped"

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    hook = models.CharField(max_length=60)
    #: JSON text.
    payload = models.TextField()
    #: One plugin only (schedules); empty: every listener.
    plugin = models.CharField(max_length=64, blank=True)
    #: ``signal``, ``schedule``, ``api``.
    source = models.CharField(max_length=20)
    actor = models.CharField(max_length=200, blank=True)
    #: Shared by everything one first event led to.
    correlation = models.CharField(max_length=80)
    #: 0 for an event from outside, one more for each plugin in between.
    depth = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    passes = models.PositiveSmallIntegerField(default=0)
    fence = models.PositiveIntegerField(default=0)
    #: When it needs somebody; ``None``: never again.
    wake_at = models.DateTimeField(null=True, blank=True)
    #: JSON list of ``{plugin, status, invocation, durationMs, message}``.
    outcomes = models.TextField(default="[]")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["wake_at"], condition=models.Q(wake_at__isnull=False), name="hook_event_wake"),
            models.Index(fields=["-created_at", "-id"], name="hook_event_newest"),
            models.Index(fields=["correlation"], name="hook_event_correlation"),
            models.Index(fields=["finished_at"], name="hook_event_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.hook} {self.id}"


class Schedule(models.Model):
    """One cron line of a serving plugin's manifest."""

    entry = models.ForeignKey("zelavis.PluginEntry", on_delete=models.CASCADE, related_name="schedules")
    name = models.CharField(max_length=64)
    cron = models.CharField(max_length=100)
    timezone = models.CharField(max_length=60, default="UTC")
    next_at = models.DateTimeField(db_index=True)
    last_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["next_at"]
        constraints = [models.UniqueConstraint(fields=["entry", "name"], name="schedule_once")]

    def __str__(self) -> str:
        return f"{self.name} ({self.cron})"


class CircuitBreaker(models.Model):
    """Traps of a plugin in a row. Five open it: the plugin is let rest, then tried once."""

    plugin = models.CharField(max_length=64, unique=True)
    failures = models.PositiveIntegerField(default=0)
    #: ``None``: closed.
    opened_at = models.DateTimeField(null=True, blank=True)
    #: While open: when one call is let through to see.
    retry_at = models.DateTimeField(null=True, blank=True)
    #: Times it opened without a good call in between; doubles the rest.
    trips = models.PositiveSmallIntegerField(default=0)
    last_status = models.CharField(max_length=30, blank=True)
    last_message = models.TextField(blank=True)
    last_failed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-opened_at", "plugin"]

    def __str__(self) -> str:
        return self.plugin

    @property
    def is_open(self) -> bool:
        """Whether calls are refused at present."""
        return self.opened_at is not None
