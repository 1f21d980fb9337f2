"""What was found and what was decided about a release."""

from __future__ import annotations

from typing import Any

from django.db import models

from marketplace.models.releases import Release
from zelavis import identifiers


def _make_event_id() -> str:
    return identifiers.make("rev")


class CheckOutcome(models.TextChoices):
    """Tri-state: that a check could not run is not that it passed."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class CheckResult(models.Model):
    """One check of one audit of one digest. Rows are added, never changed."""

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="checks")
    digest = models.CharField(max_length=64)
    #: Name of the rule family.
    family = models.CharField(max_length=40)
    outcome = models.CharField(max_length=20, choices=CheckOutcome.choices)
    #: Version of the rules.
    rules = models.CharField(max_length=64)
    #: Why it failed or could not run; one line.
    detail = models.CharField(max_length=500, blank=True)
    duration_ms = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["release", "digest", "family"], name="check_by_digest")]

    def __str__(self) -> str:
        return f"{self.family}: {self.outcome}"


class Severity(models.TextChoices):
    """How much a finding weighs."""

    #: Refuses the release.
    ERROR = "error"
    #: A curator must look.
    WARNING = "warning"
    #: Good to know.
    NOTICE = "notice"


class Finding(models.Model):
    """What a rule has to say about a release. The findings of the newest audit replace those before."""

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="findings")
    digest = models.CharField(max_length=64)
    #: Documented in docs/reference/audit-rules.md.
    rule = models.CharField(max_length=60)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    #: File, and line where it has one: ``plugin.mjs:12``.
    place = models.CharField(max_length=300, blank=True)
    message = models.CharField(max_length=500)
    advice = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.rule} {self.place}"


class ReviewEvent(models.Model):
    """One deed in a release's history: append only."""

    id = models.CharField(primary_key=True, max_length=40, default=_make_event_id, editable=False)
    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="events")
    #: ``submit``, ``claim``, ``approve`` … as in ``marketplace.states``; ``comment`` and ``note`` change nothing.
    verb = models.CharField(max_length=40)
    actor = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    before = models.CharField(max_length=20, blank=True)
    after = models.CharField(max_length=20, blank=True)
    #: The bytes it was about.
    digest = models.CharField(max_length=64)
    #: Whether the publisher sees it. Notes of curators among themselves are not shown.
    public = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["release", "created_at"], name="review_event_history")]

    def __str__(self) -> str:
        return f"{self.actor} {self.verb}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise models.ProtectedError("History is not edited.", {self})
        super().save(*args, **kwargs)


class Approval(models.Model):
    """One person's yes to one digest. A risky release needs two."""

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="approvals")
    digest = models.CharField(max_length=64)
    #: ``user:name``: a person counts once, with whatever token.
    identity = models.CharField(max_length=200)
    reason = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["release", "digest", "identity"], name="approval_once_per_person")
        ]

    def __str__(self) -> str:
        return f"{self.identity} approves {self.release_id}"
