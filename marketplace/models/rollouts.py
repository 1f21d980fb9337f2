"""How an update reaches its users: cooldown, a growing share of calls, and a halt when it fails."""

from __future__ import annotations

from django.db import models

from marketplace.models.plugins import Plugin
from marketplace.models.releases import Release


class UpdatePolicy(models.Model):
    """When updates install by themselves: of one plugin, or of all that have no row of their own."""

    #: Empty: the rule for every plugin without one.
    plugin = models.OneToOneField(Plugin, null=True, blank=True, on_delete=models.CASCADE, related_name="update_policy")
    automatic = models.BooleanField(default=False)
    #: Hours that a release must have been approved before it installs by itself.
    cooldown_hours = models.PositiveIntegerField(default=48)
    #: Share of hook calls of the first stage, in percent; 100: at once.
    first_percent = models.PositiveSmallIntegerField(default=100)
    #: Hours between stages.
    stage_hours = models.PositiveSmallIntegerField(default=6)
    #: Replay this many recorded calls against the update before it serves; 0: none.
    shadow_tapes = models.PositiveSmallIntegerField(default=0)
    #: Share of replayed calls that may differ, in percent.
    shadow_tolerance = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name_plural = "update policies"

    def __str__(self) -> str:
        return f"Updates of {self.plugin}" if self.plugin else "Updates of every other plugin"


class RolloutState(models.TextChoices):
    """Where a staged update stands."""

    RUNNING = "running"
    #: Failed more often than allowed: every call goes to the old release again.
    HALTED = "halted"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Rollout(models.Model):
    """One staged update: a share of the calls goes to the candidate."""

    plugin = models.ForeignKey(Plugin, on_delete=models.CASCADE, related_name="rollouts")
    baseline = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="+")
    candidate = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=20, choices=RolloutState.choices, default=RolloutState.RUNNING)
    percent = models.PositiveSmallIntegerField()
    #: Comma-separated shares still to come.
    stages = models.CharField(max_length=100, blank=True)
    stage_hours = models.PositiveSmallIntegerField(default=6)
    #: Calls of the candidate before its failure rate says anything.
    minimum_calls = models.PositiveIntegerField(default=20)
    #: Percentage points by which the candidate may fail more often than the baseline.
    tolerance = models.PositiveSmallIntegerField(default=5)
    baseline_calls = models.PositiveBigIntegerField(default=0)
    baseline_failures = models.PositiveBigIntegerField(default=0)
    candidate_calls = models.PositiveBigIntegerField(default=0)
    candidate_failures = models.PositiveBigIntegerField(default=0)
    actor = models.CharField(max_length=200)
    reason = models.CharField(max_length=500)
    #: Why it ended.
    outcome = models.CharField(max_length=500, blank=True)
    started_at = models.DateTimeField()
    #: When the next stage begins.
    wake_at = models.DateTimeField(null=True, blank=True, db_index=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["plugin"], condition=models.Q(state="running"), name="rollout_one_running")
        ]

    def __str__(self) -> str:
        return f"{self.plugin}: {self.percent} % to {self.candidate.version}"
