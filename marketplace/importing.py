"""Taking over a feed or an allow-list that was carried here as a file: for sites without a network."""

from __future__ import annotations

from datetime import datetime
from typing import BinaryIO

from django.core.files.base import File
from django.db import transaction
from django.utils import timezone

from marketplace import following, reasons
from marketplace.actors import Actor
from marketplace.errors import FeedRefused, FeedSourceNotFound
from marketplace.models import FeedSource
from zelavis import audit

PERMISSION = "marketplace.import_feedsource"


def find(name: str) -> FeedSource:
    """A source by its name.

    Raises:
        FeedSourceNotFound: there is none.
    """
    source = FeedSource.objects.filter(name=name[:64].replace("\0", "")).first()
    if source is None:
        raise FeedSourceNotFound(
            f"There is no feed source {name[:64]!r}; make it in the admin, with the key you trust."
        )
    return source


def read(file: BinaryIO | File[bytes]) -> bytes:
    """A file's bytes, no more than a document may have.

    Raises:
        FeedRefused: it is larger.
    """
    content = file.read(following.MAX_IMPORT + 1)
    if len(content) > following.MAX_IMPORT:
        raise FeedRefused(f"The file has more than {following.MAX_IMPORT:,} bytes.", outcome="invalid")
    return content


def take(
    source: FeedSource, document: bytes, *, actor: Actor, reason: str, now: datetime | None = None
) -> following.Feed:
    """Verify a document against the source's key and take it over, by the same rules as one that was fetched.

    Raises:
        NotPermitted, ReasonRequired: as they say. FeedRefused: forged, malformed, expired, or older than what is held.
    """
    actor.require(PERMISSION)
    reason = reasons.read(reason, needed="Importing a feed")
    # Bytes that are not UTF-8 become ones that no signature fits.
    text = document.decode("utf-8", "replace")
    with transaction.atomic():
        before = FeedSource.objects.get(pk=source.pk).serial
        feed = following.accept(source, text, now=now or timezone.now(), most=following.MAX_IMPORT)
        changes = {"serial": [before, feed.serial], "revocations": [None, len(feed.revocations)]}
        if feed.allowed is not None:
            changes["allowed"] = [None, len(feed.allowed)]
        audit.record("feed.import", target=f"feed:{source.name}", actor=actor.name, reason=reason, changes=changes)
    return feed
