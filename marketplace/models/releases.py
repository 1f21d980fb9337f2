"""Releases and the bytes they stand for."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from marketplace.models.plugins import Plugin
from marketplace.models.publishers import Publisher, PublisherKey
from zelavis import identifiers


def _make_id() -> str:
    return identifiers.make("rel")


#: By what else a list of releases is narrowed.
_FILTERED = ("risk", "kind", "claimed_by", "plugin", "publisher")


class Blob(models.Model):
    """Bytes under their SHA-256. In the database: every process and host has them, in one transaction with the row."""

    digest = models.CharField(primary_key=True, max_length=64)
    size = models.PositiveIntegerField()
    content = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.digest


class ReleaseState(models.TextChoices):
    """Where a release stands. ``marketplace.states`` says which verb leads where."""

    #: Waits for a curator.
    SUBMITTED = "submitted"
    #: A curator has claimed it.
    IN_REVIEW = "in_review"
    #: Waits for its publisher.
    CHANGES_REQUESTED = "changes_requested"
    #: Can be installed.
    APPROVED = "approved"
    #: Refused for good.
    REJECTED = "rejected"
    #: Stopped at once, everywhere, until somebody knows more.
    QUARANTINED = "quarantined"
    #: Approved once; not offered any more. Installed copies stay.
    YANKED = "yanked"
    #: Taken back by its publisher before a decision, or replaced by a newer submission.
    WITHDRAWN = "withdrawn"
    #: Taken down. The row stays as the tombstone of its version.
    REMOVED = "removed"


class ReleaseQuerySet(models.QuerySet["Release"]):
    """Lists of releases."""

    def public(self) -> ReleaseQuerySet:
        """What everybody may see: approved or yanked releases of listed plugins."""
        return self.filter(state__in=(ReleaseState.APPROVED, ReleaseState.YANKED), plugin__state=Plugin.State.LISTED)

    def waiting(self) -> ReleaseQuerySet:
        """The curation queue: oldest first."""
        return self.filter(state__in=(ReleaseState.SUBMITTED, ReleaseState.IN_REVIEW)).order_by("submitted_at", "id")

    def queue(self) -> models.QuerySet[Release, tuple[str, datetime]]:
        """``(id, submitted_at)`` of what waits, oldest first: one range of an index for each state, merged.

        A single condition over both states is planned as a walk over every release where most are of one state.
        """
        one, two = (
            self.filter(state=state).order_by().values_list("id", "submitted_at")
            for state in (ReleaseState.SUBMITTED, ReleaseState.IN_REVIEW)
        )
        return one.union(two, all=True).order_by("submitted_at", "id")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise models.ProtectedError("Releases are never deleted: they are the tombstones of their versions.", set())


class Release(models.Model):
    """One version of a plugin: bytes, manifest, audit and decision. The bytes never change and the row never goes."""

    id = models.CharField(primary_key=True, max_length=40, default=_make_id, editable=False)
    plugin = models.ForeignKey(Plugin, on_delete=models.PROTECT, related_name="releases")
    #: The plugin's publisher at the time of submission.
    publisher = models.ForeignKey(Publisher, on_delete=models.PROTECT, related_name="releases")
    version = models.CharField(max_length=64)
    #: Sorts as SemVer 2.0 orders versions.
    version_sort = models.CharField(max_length=320)
    #: SHA-256 of the bundle.
    digest = models.CharField(max_length=64, db_index=True)
    #: SHA-256 of the entry file: the artifact that the sandbox runs.
    entry_digest = models.CharField(max_length=64, db_index=True)
    #: ``javascript`` or ``wasm``.
    kind = models.CharField(max_length=20)
    size = models.PositiveIntegerField()
    #: The manifest exactly as submitted; order of members kept.
    manifest_text = models.TextField()
    #: Where the bytes came from when they were fetched; empty: uploaded.
    specifier = models.CharField(max_length=500, blank=True)
    #: JSON: what ``sandbox.inspect`` found (imports, exports, memory); never by executing.
    inspection_text = models.TextField(default="{}")
    readme = models.TextField(blank=True)
    changelog = models.TextField(blank=True)
    #: Re-encoded PNG.
    icon = models.ForeignKey(Blob, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    #: ``low``, ``medium`` or ``high``: the riskiest thing it asks for.
    risk = models.CharField(max_length=10)
    #: JSON: the capability delta against the newest approved release at submission.
    delta_text = models.TextField(default="{}")
    signed_by = models.ForeignKey(PublisherKey, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    signature = models.CharField(max_length=120, blank=True)

    state = models.CharField(max_length=20, choices=ReleaseState.choices, default=ReleaseState.SUBMITTED)
    #: Counts every change of the row; verbs compare it and set it.
    revision = models.PositiveIntegerField(default=1)
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    submitted_actor = models.CharField(max_length=200)
    submitted_at = models.DateTimeField()
    state_changed_at = models.DateTimeField()
    #: Identity of the curator who holds the claim, empty: nobody.
    claimed_by = models.CharField(max_length=200, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    #: Seconds that the release waited for its publisher, not for us; the clock of the queue leaves them out.
    author_seconds = models.PositiveIntegerField(default=0)

    #: ``pending``, ``passed``, ``failed`` or ``inconclusive``; of the newest audit.
    audit_state = models.CharField(max_length=20, default="pending")
    #: Version of the rules of the newest audit.
    audit_rules = models.CharField(max_length=64, blank=True, db_index=True)
    #: The digest for which every required check has a positive row; empty: none.
    audited_digest = models.CharField(max_length=64, blank=True)
    #: The digest that was approved.
    approved_digest = models.CharField(max_length=64, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    #: Canonical JSON of what was approved, and the server's Ed25519 signature over it (base64).
    record_text = models.TextField(blank=True)
    record_signature = models.CharField(max_length=120, blank=True)
    downloads = models.PositiveBigIntegerField(default=0)

    objects = ReleaseQuerySet.as_manager()

    class Meta:
        ordering = ["-submitted_at", "-id"]
        permissions = [
            ("review_release", "Can claim, comment on, request changes to, approve and reject releases"),
            ("quarantine_release", "Can quarantine releases and release them from quarantine"),
            ("yank_release", "Can yank approved releases"),
            ("takedown_release", "Can take releases down"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["plugin", "version"], name="release_version_once"),
            # A row cannot be approved for other bytes than those audited and those approved, whoever writes it.
            models.CheckConstraint(
                condition=~Q(state="approved") | Q(approved_digest=F("digest"), audited_digest=F("digest")),
                name="release_approved_is_audited",
            ),
        ]
        # The first three hold all that the admin's list filters by: it is answered from the index, without the rows.
        indexes = [
            models.Index(fields=["state", "submitted_at", "id", "audit_state", *_FILTERED], name="release_queue"),
            models.Index(fields=["audit_state", "submitted_at", "id", "state", *_FILTERED], name="release_audit"),
            models.Index(fields=["submitted_at", "id", "state", "audit_state", *_FILTERED], name="release_submitted"),
            models.Index(fields=["plugin", "state", "-version_sort"], name="release_newest"),
            models.Index(fields=["-approved_at"], name="release_approved"),
        ]

    def __str__(self) -> str:
        return f"{self.plugin.name}@{self.version}"

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise models.ProtectedError("A release is never deleted: it is the tombstone of its version.", {self})

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest as submitted."""
        value: dict[str, Any] = json.loads(self.manifest_text)
        return value

    @property
    def capabilities(self) -> dict[str, dict[str, Any]]:
        """What it asks for: capability → quantities and reason."""
        asked: dict[str, dict[str, Any]] = self.manifest.get("capabilities", {})
        return asked

    @cached_property
    def delta(self) -> dict[str, Any]:
        """The capability delta at submission; see ``marketplace.capabilities.delta``."""
        value: dict[str, Any] = json.loads(self.delta_text)
        return value

    @cached_property
    def inspection(self) -> dict[str, Any]:
        """Imports, exports and memory as read from the binary."""
        value: dict[str, Any] = json.loads(self.inspection_text)
        return value

    def waited_seconds(self, now: datetime) -> float:
        """How long the release has waited for curators, without the time it waited for its publisher."""
        return max(0.0, (now - self.submitted_at).total_seconds() - self.author_seconds)
