"""Attempts to bring a registry change to where the plugin runs, each with its timeline."""

from __future__ import annotations

from django.db import models


class Activation(models.Model):
    """One attempt: what was asked, how far it came, what came of it."""

    class Action(models.TextChoices):
        """The operator's verb. On the wire ``rollback`` is an ``update``: the worker sees a version change."""

        REGISTER = "register"
        INSTALL = "install"
        UPDATE = "update"
        ROLLBACK = "rollback"
        UNINSTALL = "uninstall"

    class State(models.TextChoices):
        """``requested → deploying → activating``, perhaps ``pending`` and ``rolling_out``, then another of these."""

        REQUESTED = "requested"
        DEPLOYING = "deploying"
        ACTIVATING = "activating"
        #: The worker said "not yet"; asked again at ``wake_at``.
        PENDING = "pending"
        #: A staged update: it answers, and a growing share of the calls goes to it.
        ROLLING = "rolling_out"
        ACTIVE = "active"
        #: An uninstall that is complete.
        INACTIVE = "inactive"
        FAILED = "failed"
        #: A later intent took its place.
        SUPERSEDED = "superseded"

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    entry = models.ForeignKey(
        "zelavis.PluginEntry", null=True, blank=True, on_delete=models.SET_NULL, related_name="activations"
    )
    plugin = models.CharField(max_length=64)
    action = models.CharField(max_length=12, choices=Action)
    state = models.CharField(max_length=12, choices=State, default=State.REQUESTED)
    adapter = models.CharField(max_length=30)
    actor = models.CharField(max_length=200)
    reason = models.TextField(blank=True)
    deployment = models.ForeignKey(
        "zelavis.Deployment", null=True, blank=True, on_delete=models.SET_NULL, related_name="activations"
    )
    #: What served when the intent was recorded; it serves on until the new one is active.
    before = models.ForeignKey(
        "zelavis.Deployment", null=True, blank=True, on_delete=models.SET_NULL, related_name="replaced_by"
    )
    #: ``status`` of the entry before the intent: what a failure restores.
    status_before = models.CharField(max_length=12, blank=True)
    #: Uninstall only: whether the plugin's data goes too.
    purge = models.BooleanField(default=False)
    #: Share of the calls that go to the new version at first, and later at present; 100: all at once.
    percent = models.PositiveSmallIntegerField(default=100)
    #: The marketplace's row of the staged update, once it began.
    rollout = models.BigIntegerField(null=True, blank=True)
    #: Recorded calls to run again with the new version before it serves; 0: none.
    shadow_tapes = models.PositiveSmallIntegerField(default=0)
    #: What that said: ``pass``, ``fail``, ``inconclusive`` (too few tapes); empty: not done.
    shadow = models.CharField(max_length=12, blank=True)
    shadow_total = models.PositiveIntegerField(default=0)
    shadow_different = models.PositiveIntegerField(default=0)
    #: The first attempt of this intent, when this is a retry.
    retry_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="retries")
    attempt = models.PositiveSmallIntegerField(default=1)
    #: Times a process took this attempt up; more than ``CLAIMS`` of them ends it.
    claims = models.PositiveSmallIntegerField(default=0)
    polls = models.PositiveSmallIntegerField(default=0)
    #: Raised by each claim; a process whose fence is old may record nothing.
    fence = models.PositiveIntegerField(default=0)
    #: When it needs somebody: end of the lease while worked on, next poll while pending; ``None``: finished.
    wake_at = models.DateTimeField(null=True, blank=True)
    #: When waiting ends in failure.
    deadline_at = models.DateTimeField()
    #: Of the last answer.
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    code = models.CharField(max_length=60, blank=True)
    message = models.TextField(blank=True)
    #: The standard request as it was sent.
    request = models.TextField(blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["entry"], condition=models.Q(finished_at__isnull=True), name="activation_one_at_a_time"
            )
        ]
        indexes = [
            models.Index(fields=["wake_at"], condition=models.Q(wake_at__isnull=False), name="activation_wake"),
            models.Index(fields=["plugin", "-created_at"], name="activation_plugin"),
            models.Index(fields=["-created_at", "-id"], name="activation_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.plugin}"

    @property
    def finished(self) -> bool:
        """Nothing more will happen to it."""
        return self.finished_at is not None


class ActivationEvent(models.Model):
    """One line of a timeline."""

    activation = models.ForeignKey(Activation, on_delete=models.CASCADE, related_name="events")
    step = models.CharField(max_length=30)
    created_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    #: Outcome of the sandbox when it was not ``ok``, for example ``trap``.
    trap = models.CharField(max_length=30, blank=True)
    code = models.CharField(max_length=60, blank=True)
    message = models.TextField(blank=True)
    #: n of m; 0: the step is not tried again.
    attempt = models.PositiveSmallIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.step
