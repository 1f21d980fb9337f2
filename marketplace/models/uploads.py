"""Uploads that can be continued after a broken connection."""

from __future__ import annotations

from django.db import models

from marketplace.models.publishers import Publisher
from zelavis import identifiers


def _make_id() -> str:
    return identifiers.make("upl")


class Upload(models.Model):
    """A bundle on its way in."""

    id = models.CharField(primary_key=True, max_length=40, default=_make_id, editable=False)
    publisher = models.ForeignKey(Publisher, on_delete=models.CASCADE, related_name="+")
    plugin_name = models.CharField(max_length=64)
    #: As announced; the finished bytes must have both.
    size = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    received = models.PositiveIntegerField(default=0)
    #: Who may continue it.
    actor = models.CharField(max_length=200)
    #: The release it became; empty while it is open.
    release_id = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.id} {self.received}/{self.size}"


class UploadPart(models.Model):
    """A piece of an upload."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="parts")
    offset = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        ordering = ["offset"]
        constraints = [models.UniqueConstraint(fields=["upload", "offset"], name="upload_part_once")]

    def __str__(self) -> str:
        return f"{self.upload_id} at {self.offset}"
