"""Uploads in pieces: a broken connection continues where it stopped."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from marketplace import bundles, intake, publishers
from marketplace.actors import Actor
from marketplace.errors import BundleTooLarge, DigestMismatch, UploadNotFound, UploadOffset
from marketplace.models import Release, Upload, UploadPart
from zelavis.errors import InvalidRequest, TooManyRequests, ZelavisError

LASTS = timedelta(hours=24)
#: Open uploads of one publisher at a time.
MAX_OPEN = 10
#: What is wrong with the bytes themselves, whenever they come.
_FINAL = (409, 413, 422)


def begin(plugin: str, *, publisher: str, size: int, digest: str, actor: Actor, now: datetime | None = None) -> Upload:
    """Announce a bundle.

    Raises:
        NotAMember, PublisherSuspended, BundleTooLarge, TooManyRequests, InvalidRequest: as they say.
    """
    moment, owner = now or timezone.now(), publishers.get(publisher)
    publishers.require_member(owner, actor, plugin=plugin)
    publishers.require_active(owner)
    if size > bundles.MAX_BUNDLE:
        raise BundleTooLarge(f"The bundle has {size:,} bytes; the most is {bundles.MAX_BUNDLE:,}.", rule="bundle_size")
    if size < 1 or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise InvalidRequest("An upload needs its size in bytes and its SHA-256 as 64 hexadecimal digits.")
    with transaction.atomic():
        again = Upload.objects.filter(
            publisher=owner, plugin_name=plugin, digest=digest, size=size, actor=actor.identity, expires_at__gt=moment
        ).first()
        if again is not None:
            return again
        if Upload.objects.filter(publisher=owner, release_id="", expires_at__gt=moment).count() >= MAX_OPEN:
            raise TooManyRequests(f"{owner.slug} has {MAX_OPEN} open uploads.", retryAfter=3600)
        return Upload.objects.create(
            publisher=owner,
            plugin_name=plugin,
            size=size,
            digest=digest,
            actor=actor.identity,
            created_at=moment,
            expires_at=moment + LASTS,
        )


def find(upload_id: str, *, actor: Actor, now: datetime | None = None) -> Upload:
    """One's own open upload.

    Raises:
        UploadNotFound: none of this actor, or expired.
    """
    upload = (
        Upload.objects.select_related("publisher")
        .filter(pk=upload_id, actor=actor.identity, expires_at__gt=now or timezone.now())
        .first()
    )
    if upload is None:
        raise UploadNotFound
    return upload


def _lock(upload: Upload) -> Upload:
    """The row as it is now: another request may have ended or dropped the upload since it was read."""
    row = Upload.objects.select_for_update(of=("self",)).select_related("publisher").filter(pk=upload.pk).first()
    if row is None:
        raise UploadNotFound
    return row


def append(upload: Upload, *, offset: int, content: bytes) -> Upload:
    """Add a piece. A piece that is here already changes nothing.

    Raises:
        UploadOffset: it does not begin where the upload stands. BundleTooLarge: it goes beyond the announced size.
        UploadNotFound: it went meanwhile.
    """
    with transaction.atomic():
        row = _lock(upload)
        if offset + len(content) <= row.received and UploadPart.objects.filter(upload=row, offset=offset).exists():
            return row
        if offset != row.received:
            raise UploadOffset(f"The upload stands at byte {row.received}.", received=row.received)
        if offset + len(content) > row.size:
            raise BundleTooLarge(f"The upload was announced with {row.size:,} bytes.", rule="announced_size")
        if content:
            UploadPart.objects.create(upload=row, offset=offset, content=content)
            row.received += len(content)
            row.save(update_fields=["received"])
    return row


def finish(upload: Upload, *, actor: Actor, signature: str = "", now: datetime | None = None) -> Release:
    """Submit the finished bytes; again it answers the same release.

    Raises:
        UploadOffset: bytes are missing. DigestMismatch: they are not those announced. UploadNotFound: it went
        meanwhile. ZelavisError: see ``intake``.
    """
    with transaction.atomic():
        # The state and the pieces of one moment: the pieces go when another request ends the upload.
        upload = _lock(upload)
        parts = UploadPart.objects.filter(upload=upload).order_by("offset")
        content = b"".join(bytes(part.content) for part in parts)
    if upload.release_id:
        return Release.objects.select_related("plugin").get(pk=upload.release_id)
    if upload.received != upload.size:
        raise UploadOffset(f"{upload.size - upload.received:,} bytes are missing.", received=upload.received)
    if bundles.digest_of(content) != upload.digest:
        Upload.objects.filter(pk=upload.pk).delete()
        raise DigestMismatch("The bytes received are not those announced; begin again.", digest=upload.digest)
    try:
        release = intake.submit(
            content, actor=actor, publisher=upload.publisher.slug, plugin=upload.plugin_name, signature=signature,
            now=now,
        )  # fmt: skip
    except ZelavisError as error:
        if error.status in _FINAL:
            # These bytes will never be taken: they must not hold one of the places for open uploads.
            Upload.objects.filter(pk=upload.pk, release_id="").delete()
        raise
    with transaction.atomic():
        Upload.objects.filter(pk=upload.pk).update(release_id=release.pk)
        UploadPart.objects.filter(upload=upload).delete()
    return release


def drop_expired(*, now: datetime | None = None) -> int:
    """Delete what nobody finished; answers how many."""
    expired = Upload.objects.filter(expires_at__lte=now or timezone.now())
    count = expired.count()
    expired.delete()
    return count
