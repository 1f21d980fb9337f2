"""Bytes under their digest. Every reading is verified: a damaged or swapped row is an error, never an artifact."""

from __future__ import annotations

import logging

from marketplace.bundles import digest_of
from marketplace.errors import ArtifactMissing, DigestMismatch
from marketplace.models import Blob

logger = logging.getLogger("zelavis.marketplace")


def put(content: bytes) -> Blob:
    """Store bytes once; answers the row."""
    blob, _ = Blob.objects.get_or_create(digest=digest_of(content), defaults={"size": len(content), "content": content})
    return blob


def get(digest: str) -> bytes:
    """The bytes of a digest.

    Raises:
        ArtifactMissing: they are not here.
        DigestMismatch: what is stored is something else; also logged as an error.
    """
    blob = Blob.objects.filter(digest=digest).first()
    if blob is None:
        raise ArtifactMissing(digest=digest)
    content = bytes(blob.content)
    if digest_of(content) != digest:
        logger.error("stored bytes do not have their digest", extra={"digest": digest})
        raise DigestMismatch("The stored bytes are damaged; nothing of them is used.", digest=digest)
    return content


def drop(digest: str) -> None:
    """Delete the bytes of a release that was taken down."""
    Blob.objects.filter(digest=digest).delete()
