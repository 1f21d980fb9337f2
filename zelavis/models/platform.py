"""Rows of the platform itself: tokens, the audit log, heartbeats, kept answers."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models


class ApiToken(models.Model):
    """A credential of the REST API. The secret itself is not kept."""

    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=8, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE)
    #: Durable runs of this tenant only; empty: of every tenant.
    tenant = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} (zlv_{self.prefix}_…)"

    def allows(self, scope: str) -> bool:
        """Whether the token carries ``scope``."""
        return "*" in self.scopes or scope in self.scopes

    def is_live(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class AuditEvent(models.Model):
    """One deed: who, what, to what, why, what changed. Written by ``zelavis.audit``; never edited."""

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=300)
    actor = models.CharField(max_length=200)
    reason = models.TextField(blank=True)
    changes = models.JSONField(default=dict)
    request_id = models.CharField(max_length=80, blank=True)
    #: Its place in the chain and the digest over itself and what came before; see ``zelavis.audit_chain``.
    number = models.PositiveBigIntegerField(null=True, unique=True, editable=False)
    digest = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["-created_at"], name="audit_newest"),
            models.Index(fields=["target", "-created_at"], name="audit_target"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.target}"


class Heartbeat(models.Model):
    """When a part of the platform was last seen at work: ``beat``, ``worker``."""

    name = models.CharField(primary_key=True, max_length=60)
    seen_at = models.DateTimeField()
    detail = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.name


class IdempotencyKey(models.Model):
    """A request that must not be done twice, and its answer. Kept for a day."""

    #: Whose key it is: ``token:4``, ``user:1``. Two callers may use the same key.
    caller = models.CharField(max_length=120)
    key = models.CharField(max_length=255)
    #: SHA-256 of method, path and body.
    fingerprint = models.CharField(max_length=64)
    #: Status of the kept answer; ``None`` while the first request is at work.
    status = models.PositiveSmallIntegerField(null=True)
    #: Sealed (``zelavis.encryption``): an answer may hold a secret that is shown once.
    body = models.TextField(blank=True)
    #: JSON object of the answer's headers worth keeping (``Location``, ``ETag``).
    headers = models.TextField(default="{}")
    created_at = models.DateTimeField()
    #: While at work: until when the first request is believed to live. After it: when the row may go.
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return f"{self.caller} {self.key}"
