"""Plugin workers: where they are, and what this server hosts as one."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

#: Names of namespaces and workers: nothing in them that a URL, a path or a shell would read as more than a name.
NAME = RegexValidator(r"\A[a-z][a-z0-9-]{0,61}[a-z0-9]\Z", "Lower-case letters, digits and dashes, 2 to 63 long.")


class DispatchNamespace(models.Model):
    """A set of plugin workers, one per environment."""

    name = models.CharField(max_length=63, unique=True, validators=[NAME])
    description = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class DispatchWorker(models.Model):
    """A name in a namespace, and the HTTP server behind it."""

    namespace = models.ForeignKey(DispatchNamespace, on_delete=models.PROTECT, related_name="workers")
    name = models.CharField(max_length=63, validators=[NAME])
    #: ``https://…``; the paths of the protocol are added to it.
    base_url = models.URLField(max_length=500)
    #: Signs requests and checks answers. Encrypted; empty: ``ZELAVIS_WORKER_SECRET``; without that neither is signed.
    secret = models.TextField(blank=True, editable=False)
    #: While a secret is being changed: the one before, which still signs and still counts.
    previous_secret = models.TextField(blank=True, editable=False)
    #: Whether the worker takes uploads at ``/__zelavis/plugin/deploy``.
    takes_uploads = models.BooleanField(default=False)
    #: Whole request, connect to last byte.
    timeout_ms = models.PositiveIntegerField(
        default=10_000, validators=[MinValueValidator(50), MaxValueValidator(60_000)]
    )
    #: A longer answer is refused.
    max_answer_bytes = models.PositiveIntegerField(
        default=1 << 20, validators=[MinValueValidator(1024), MaxValueValidator(16 << 20)]
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["namespace__name", "name"]
        constraints = [models.UniqueConstraint(fields=["namespace", "name"], name="worker_once_in_namespace")]

    def __str__(self) -> str:
        return f"{self.namespace.name}/{self.name}"


class HostedPlugin(models.Model):
    """A plugin that another Zelavis put here; ``manage.py plugin_worker`` serves it."""

    class State(models.TextChoices):
        """At most one version of a plugin is active. The one before it answers calls too, until an uninstall."""

        DEPLOYED = "deployed"
        ACTIVE = "active"
        INACTIVE = "inactive"

    name = models.CharField(max_length=64)
    version = models.CharField(max_length=100)
    #: SHA-256 of the entry file: the key of the compiled artifact.
    digest = models.CharField(max_length=64)
    kind = models.CharField(max_length=12)
    manifest = models.TextField()
    grants = models.TextField()
    state = models.CharField(max_length=12, choices=State, default=State.DEPLOYED)
    deployed_at = models.DateTimeField()
    #: Since when it may be called; ``None``: never activated, or uninstalled.
    activated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "-deployed_at"]
        constraints = [
            models.UniqueConstraint(fields=["name", "version", "digest"], name="hosted_once"),
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(state="active"), name="hosted_one_active_version"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"
