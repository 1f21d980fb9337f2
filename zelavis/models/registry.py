"""The registry: what is known here, what is deployed, what serves."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from zelavis.models.sealed import EMPTY, SealedObjectField


class Registry(models.Model):
    """One row. Every change of an entry raises ``revision`` and draws a new ``nonce`` in the same transaction."""

    revision = models.PositiveBigIntegerField(default=0)
    #: Random per write: a revision that was rolled back and taken again by another writer is another state.
    nonce = models.CharField(max_length=32, default="", blank=True)

    class Meta:
        verbose_name_plural = "registry"

    def __str__(self) -> str:
        return f"revision {self.revision}"


class PluginEntry(models.Model):
    """A plugin this installation knows: the seed's five fields, and three states that are not one another."""

    class Status(models.TextChoices):
        """What the operator wants."""

        AVAILABLE = "available"
        INSTALLED = "installed"

    class Source(models.TextChoices):
        """Who publishes it."""

        OFFICIAL = "official"
        COMMUNITY = "community"

    class DeploymentState(models.TextChoices):
        """Whether the newest version asked for is where it has to run."""

        NONE = "none"
        DEPLOYING = "deploying"
        DEPLOYED = "deployed"
        FAILED = "failed"

    class ActivationState(models.TextChoices):
        """Whether it was proven to answer there."""

        INACTIVE = "inactive"
        PENDING = "pending"
        ACTIVE = "active"
        FAILED = "failed"

    class Wait(models.TextChoices):
        """Why an automatic update does not happen yet. The first two pass by themselves."""

        COOLDOWN = "cooldown"
        RECORDINGS = "recordings"
        CONSENT = "consent"
        SETTINGS = "settings"
        OWNER = "owner"
        SIGNATURE = "signature"

    #: The waits that end when somebody looks, and not before.
    FOR_A_PERSON = (Wait.CONSENT, Wait.SETTINGS, Wait.OWNER, Wait.SIGNATURE)
    #: No automatic update waits.
    NO_WAIT: ClassVar[dict[str, Any]] = {"update_wait": "", "update_waits": "", "update_version": "", "update_at": None}

    name = models.CharField(max_length=64, unique=True)
    specifier = models.CharField(max_length=2000, blank=True)
    status = models.CharField(max_length=12, choices=Status, default=Status.AVAILABLE)
    source = models.CharField(max_length=12, choices=Source, default=Source.COMMUNITY)
    #: Lower runs first; entries without one come last, then by name.
    order = models.PositiveIntegerField(null=True, blank=True)
    #: Name of the adapter that deploys, activates and calls it.
    adapter = models.CharField(max_length=30, default="sandbox")
    #: The worker that serves it, for adapters that call one.
    worker = models.ForeignKey("zelavis.DispatchWorker", null=True, blank=True, on_delete=models.PROTECT)
    deployment_state = models.CharField(max_length=12, choices=DeploymentState, default=DeploymentState.NONE)
    activation_state = models.CharField(max_length=12, choices=ActivationState, default=ActivationState.INACTIVE)
    #: The version that answers calls now; it stays while another is on its way.
    serving = models.ForeignKey(
        "zelavis.Deployment", null=True, blank=True, on_delete=models.PROTECT, related_name="serving_entries"
    )
    #: The version before, for roll back.
    previous = models.ForeignKey(
        "zelavis.Deployment", null=True, blank=True, on_delete=models.SET_NULL, related_name="previous_entries"
    )
    #: The version that a staged update sends a share of the calls to, and the marketplace's row that decides which.
    candidate = models.ForeignKey(
        "zelavis.Deployment", null=True, blank=True, on_delete=models.SET_NULL, related_name="candidate_entries"
    )
    rollout = models.BigIntegerField(null=True, blank=True)
    #: JSON object as text, valid under the manifest's settings schema; sealed, because it may hold secrets.
    settings = SealedObjectField(default=EMPTY)
    #: Why an operator stopped it; it keeps its place and is called by nobody until it is let go. Empty: not stopped.
    blocked = models.CharField(max_length=500, blank=True)
    #: When calls that ran were last told to end: one that began earlier must not go on, whatever serves by now.
    stopped_at = models.DateTimeField(null=True, blank=True)
    #: Why an automatic update waits, in words, to which version, and when it goes on by itself; empty: none waits.
    update_wait = models.CharField(max_length=12, choices=Wait, blank=True)
    update_waits = models.CharField(max_length=300, blank=True)
    update_version = models.CharField(max_length=100, blank=True)
    update_at = models.DateTimeField(null=True, blank=True)
    #: Of this entry alone; the ETag.
    revision = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "installed plugin"
        constraints = [
            models.CheckConstraint(condition=models.Q(status__in=["available", "installed"]), name="entry_status"),
            models.CheckConstraint(condition=models.Q(source__in=["official", "community"]), name="entry_source"),
            models.CheckConstraint(
                condition=~models.Q(activation_state="active") | models.Q(serving__isnull=False),
                name="entry_active_needs_serving",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Deployment(models.Model):
    """One version of a plugin, as it was consented to and put where it runs. Immutable but for its state."""

    class State(models.TextChoices):
        """How far it came."""

        NONE = "none"
        DEPLOYING = "deploying"
        DEPLOYED = "deployed"
        FAILED = "failed"

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    entry = models.ForeignKey(PluginEntry, on_delete=models.CASCADE, related_name="deployments")
    adapter = models.CharField(max_length=30)
    worker = models.ForeignKey("zelavis.DispatchWorker", null=True, blank=True, on_delete=models.PROTECT)
    version = models.CharField(max_length=100, blank=True)
    specifier = models.CharField(max_length=2000, blank=True)
    #: The marketplace's release, when it came from there.
    release = models.CharField(max_length=60, blank=True)
    #: SHA-256 of the bundle and of the entry file within.
    digest = models.CharField(max_length=64, blank=True)
    entry_digest = models.CharField(max_length=64, blank=True)
    #: ``javascript`` or ``wasm``; empty where the worker brings its own code.
    kind = models.CharField(max_length=12, blank=True)
    #: The manifest as text, and what was consented to of its capabilities.
    manifest = models.TextField(default="{}")
    grants = models.TextField(default="{}")
    #: SHA-256 over what was consented to; see ``zelavis.activation.consent``.
    consent = models.CharField(max_length=64, blank=True)
    consented_by = models.CharField(max_length=200, blank=True)
    consented_at = models.DateTimeField(null=True, blank=True)
    #: Settings of this version that the entry's own do not have: given with the request that brings it, or kept when
    #: it stopped serving.
    settings = SealedObjectField(default=EMPTY)
    state = models.CharField(max_length=12, choices=State, default=State.NONE)
    message = models.TextField(blank=True)
    #: The activation that proved it answers; empty: never proven.
    proven_by = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField()
    deployed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.entry.name}@{self.version}" if self.version else self.entry.name
