"""What runs wait for, and what was sent to them."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q

from runs import states
from runs.models.run import moment


class Waitpoint(models.Model):
    """A thing a run's body waits for. Its resolution stands in the journal."""

    pk = models.CompositePrimaryKey("run_id", "key")
    run_id = models.CharField(max_length=400)
    #: ``clientWaitpointId``.
    key = models.CharField(max_length=400)
    tenant = models.CharField(max_length=200)
    environment = models.CharField(max_length=40)
    kind = models.CharField(max_length=10, choices=[(kind, kind) for kind in states.KINDS])
    #: Event type, signal name, token id or child workflow.
    match_key = models.CharField(max_length=400)
    #: Order of registration: the first that matches is resolved.
    ordinal = models.IntegerField()
    meta = models.TextField()
    timeout_ms = models.BigIntegerField(null=True)
    #: When a sleep ends or a wait times out.
    wake_at = models.BigIntegerField(null=True)
    state = models.CharField(max_length=10, default=states.PENDING)
    child_run_id = models.CharField(max_length=400, null=True)
    created_at = models.BigIntegerField()
    resolved_at = models.BigIntegerField(null=True)
    #: ``alarm``, ``timeout``, ``child``, ``inbox:{receipt}``.
    resolved_by = models.CharField(max_length=60, default="")

    class Meta:
        db_table = "runs_waitpoint"
        indexes = [
            models.Index(
                fields=["kind", "match_key", "run_id"], name="runs_waitpoint_match", condition=Q(state="pending")
            ),
            models.Index(fields=["child_run_id"], name="runs_waitpoint_child", condition=Q(child_run_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.key}"

    @property
    def created(self) -> datetime | None:
        """Since when it is waited for."""
        return moment(self.created_at)

    @property
    def wakes(self) -> datetime | None:
        """When it resolves by itself."""
        return moment(self.wake_at)


class InboxItem(models.Model):
    """An injection: written first, matched under the run's lock, kept as its receipt."""

    id = models.CharField(primary_key=True, max_length=40)
    run_id = models.CharField(max_length=400)
    kind = models.CharField(max_length=10)
    key = models.CharField(max_length=400)
    #: The caller's ``Idempotency-Key``.
    dedupe = models.CharField(max_length=200, null=True)
    body_hash = models.CharField(max_length=64)
    #: JSON text; ``None`` when the caller sent none.
    payload = models.TextField(null=True)
    disposition = models.CharField(max_length=10)
    waitpoint = models.CharField(max_length=400, null=True)
    seq = models.IntegerField(null=True)
    actor = models.CharField(max_length=200, default="")
    created_at = models.BigIntegerField()
    settled_at = models.BigIntegerField(null=True)

    class Meta:
        db_table = "runs_inbox"
        indexes = [models.Index(fields=["run_id", "id"], name="runs_inbox_run")]
        constraints = [
            models.UniqueConstraint(
                fields=["run_id", "dedupe"], name="runs_inbox_dedupe", condition=Q(dedupe__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return self.id
