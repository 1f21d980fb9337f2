"""A run: one small hot row, its documents beside it, and its append-only journal.

Times are integer milliseconds since the epoch, as on the wire. Documents are ordered JSON text. There are no
database constraints between the tables: rows of a run are written under its lock and removed together.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import models
from django.db.models import Q

from runs import states

#: What a date of Python's holds in every time zone; those of the wire go on for 266,000 years.
_EARLIEST_MS, _LATEST_MS = -62_135_510_400_000, 253_402_128_000_000


def moment(ms: int | None) -> datetime | None:
    """A column as a date, for people; one beyond the years 1 to 9999 is shown as their end."""
    return None if ms is None else datetime.fromtimestamp(min(max(ms, _EARLIEST_MS), _LATEST_MS) / 1000, UTC)


class Run(models.Model):
    """One execution of a workflow. Every write after a claim names the fence it was claimed with."""

    id = models.CharField(primary_key=True, max_length=400)
    #: Who may see it: an API token of a tenant sees that tenant's runs only.
    tenant = models.CharField(max_length=200)
    workflow_id = models.CharField(max_length=200)
    workflow_version = models.CharField(max_length=200)
    environment = models.CharField(max_length=40)
    status = models.CharField(max_length=20, choices=[(state, state) for state in states.ALL])
    #: Raised by every claim, cancel and take-over; a writer with an older one writes nothing.
    fence = models.BigIntegerField(default=1)
    #: The driver that holds it; empty when none does.
    lease_owner = models.CharField(max_length=120, default="")
    #: When somebody has to look at it again: now (ready), a retry, an alarm, or the end of the lease. ``None``: never.
    wake_at = models.BigIntegerField(null=True)
    #: The next number of the journal.
    next_seq = models.IntegerField(default=1)
    #: Requests to the tenant, counted before each is sent.
    invocations = models.IntegerField(default=0)
    metadata_cursor = models.IntegerField(default=0)
    compute_ms = models.BigIntegerField(default=0)
    timeout_ms = models.BigIntegerField(null=True)
    #: Absolute; enforced while parked too.
    deadline = models.BigIntegerField(null=True)
    priority = models.IntegerField(default=0)
    #: Failed requests to the tenant in a row.
    attempts = models.IntegerField(default=0)
    #: Claims in a row that ended without a commit.
    claims = models.IntegerField(default=0)
    #: Injections kept for a wait that is not there yet.
    buffered = models.IntegerField(default=0)
    paused = models.BooleanField(default=False)
    concurrency_key = models.CharField(max_length=300, null=True)
    parent_id = models.CharField(max_length=400, null=True)
    parent_waitpoint = models.CharField(max_length=400, null=True)
    created_at = models.BigIntegerField()
    started_at = models.BigIntegerField()
    completed_at = models.BigIntegerField(null=True)

    class Meta:
        db_table = "runs_run"
        ordering = ["-created_at", "-id"]
        permissions = [("steer_run", "Cancel, pause, wake and resume runs, and answer what they wait for")]
        indexes = [
            models.Index(fields=["wake_at"], name="runs_run_due", condition=Q(wake_at__isnull=False)),
            # Runs with a priority are few, and asked for before the others.
            models.Index(
                fields=["-priority", "wake_at"],
                name="runs_run_urgent",
                condition=Q(wake_at__isnull=False) & ~Q(priority=0),
            ),
            models.Index(fields=["tenant", "-created_at", "-id"], name="runs_run_tenant"),
            models.Index(fields=["-created_at", "-id"], name="runs_run_created"),
            models.Index(fields=["workflow_id", "status", "-created_at"], name="runs_run_workflow"),
            models.Index(fields=["parent_id"], name="runs_run_parent", condition=Q(parent_id__isnull=False)),
            models.Index(fields=["concurrency_key"], name="runs_run_ckey", condition=Q(concurrency_key__isnull=False)),
            models.Index(fields=["completed_at"], name="runs_run_ended", condition=Q(completed_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def created(self) -> datetime | None:
        """When it was triggered."""
        return moment(self.created_at)

    @property
    def ended(self) -> datetime | None:
        """When it reached a terminal state."""
        return moment(self.completed_at)

    @property
    def wakes(self) -> datetime | None:
        """When somebody looks at it next."""
        return moment(self.wake_at)


class RunData(models.Model):
    """The documents of a run. ``input`` and ``output`` are ``None`` when absent, ``"null"`` when null."""

    run = models.OneToOneField(Run, models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="data")
    input = models.TextField(null=True)
    output = models.TextField(null=True)
    #: ``{category, code, message}``.
    error = models.TextField(null=True)
    #: What never changes: tenantMeta, triggeredBy, tags, idempotencyKey, provenance.
    meta = models.TextField()
    metadata_state = models.TextField(default="{}")
    #: SHA-256 of what was asked for, to tell a repeated request from another one.
    body_hash = models.CharField(max_length=64)

    class Meta:
        db_table = "runs_data"


class JournalEntry(models.Model):
    """One thing that happened, in order. Append only.

    Kinds: ``step``, ``resolved`` (a waitpoint), ``compensation``, ``stream`` (completed) are replayed to the tenant
    and unique by key; ``invocation``, ``retry`` and ``note`` are for people.
    """

    STEP, RESOLVED, COMPENSATION, STREAM = "step", "resolved", "compensation", "stream"
    INVOCATION, RETRY, NOTE = "invocation", "retry", "note"
    REPLAYED = (STEP, RESOLVED, COMPENSATION, STREAM)

    pk = models.CompositePrimaryKey("run_id", "seq")
    run_id = models.CharField(max_length=400)
    seq = models.IntegerField()
    kind = models.CharField(max_length=20)
    key = models.CharField(max_length=400)
    data = models.TextField()
    fence = models.BigIntegerField()
    at = models.BigIntegerField()

    class Meta:
        db_table = "runs_journal"
        constraints = [
            models.UniqueConstraint(
                fields=["run_id", "kind", "key"],
                name="runs_journal_once",
                condition=Q(kind__in=["step", "resolved", "compensation", "stream"]),
            )
        ]


class StreamChunk(models.Model):
    """A piece of a stream. ``ordinal`` shares the journal's numbers, so it orders chunks and journal together."""

    pk = models.CompositePrimaryKey("run_id", "ordinal")
    run_id = models.CharField(max_length=400)
    ordinal = models.IntegerField()
    stream_id = models.CharField(max_length=400)
    #: The whole chunk as on the wire.
    data = models.TextField()

    class Meta:
        db_table = "runs_chunk"


class RunTag(models.Model):
    """A tag, for finding runs by it."""

    pk = models.CompositePrimaryKey("value", "run_id")
    run_id = models.CharField(max_length=400, db_index=True)
    value = models.CharField(max_length=200)

    class Meta:
        db_table = "runs_tag"


class IdempotencyKey(models.Model):
    """A caller's key and the run it made."""

    pk = models.CompositePrimaryKey("tenant", "workflow_id", "key")
    tenant = models.CharField(max_length=200)
    workflow_id = models.CharField(max_length=200)
    key = models.CharField(max_length=400)
    run_id = models.CharField(max_length=400, db_index=True)
    body_hash = models.CharField(max_length=64)
    created_at = models.BigIntegerField()

    class Meta:
        db_table = "runs_idempotency"


class Slot(models.Model):
    """A place under a concurrency key, held by a run until it ends."""

    pk = models.CompositePrimaryKey("key", "run_id")
    key = models.CharField(max_length=300)
    run_id = models.CharField(max_length=400, db_index=True)
    taken_at = models.BigIntegerField()

    class Meta:
        db_table = "runs_slot"
