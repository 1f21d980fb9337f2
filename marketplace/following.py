"""Feeds of other marketplaces that this site follows: verified at every reading, monotonic, not trusted when stale."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction

from marketplace import ports, signatures
from marketplace.errors import FeedRefused, ReleaseBlocked
from marketplace.feed import CONTEXT
from marketplace.models import AllowedDigest, FeedSource, ForeignRevocation
from zelavis import audit
from zelavis.api.parsers import loads

#: Bytes of an envelope that is fetched, and of one that somebody imports as a file.
MAX_BYTES = 4 << 20
MAX_IMPORT = 128 << 20
MAX_LINES = 20_000
MAX_ALLOWED = 1_000_000
_ACTIONS = ("quarantine", "yank", "remove")
#: The largest serial that a column holds.
_MOST = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Feed:
    """A feed that is signed by the key we trust and has the right shape."""

    serial: int
    issued_at: datetime
    expires_at: datetime
    revocations: tuple[dict[str, Any], ...]
    #: Digests that may be installed; ``None``: the document says nothing about it.
    allowed: frozenset[str] | None


def read(document: str | bytes, *, public_key: str, most: int = MAX_BYTES) -> Feed:
    """Verify and read an envelope. Whether it is fresh and newer is the caller's question.

    Raises:
        FeedRefused: not JSON, not an envelope, not signed by this key, or not a feed.
    """
    raw = document.encode() if isinstance(document, str) else document
    if len(raw) > most:
        raise FeedRefused(f"The feed has more than {most:,} bytes.", outcome="invalid")
    try:
        sealed = loads(raw)
        payload = base64.b64decode(sealed["payload"], validate=True)
        signature = sealed["signature"]
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise FeedRefused("The feed is no envelope of payload and signature.", outcome="invalid") from None
    if not isinstance(signature, str) or not signatures.verify(public_key, CONTEXT + payload, signature):
        raise FeedRefused("The feed is not signed by the key that this site trusts.", outcome="invalid")
    try:
        return _feed(loads(payload))
    except (ValueError, KeyError, TypeError, OverflowError):
        raise FeedRefused("The feed's payload has not the shape of a feed.", outcome="invalid") from None


def _feed(value: dict[str, Any]) -> Feed:
    lines = value["revocations"]
    issued, expires = _moment(value["issuedAt"]), _moment(value["expiresAt"])
    serial = value["serial"]
    allowed = value.get("allowed")
    well = (
        value["type"] in ("zelavis.feed.v1", "zelavis.allowlist.v1")
        and _is_serial(serial, most=_MOST)
        and issued < expires
        and len(lines) <= MAX_LINES
    )
    for line in lines:
        texts = all(isinstance(line[name], str) for name in ("plugin", "version", "digest", "action", "reason"))
        well = well and texts and len(line["digest"]) == 64 and line["action"] in _ACTIONS
        well = well and _is_serial(line["serial"], most=serial)
    # Two lines of one digest, or of one serial, would say two things at once.
    well = well and all(len({line[name] for line in lines}) == len(lines) for name in ("digest", "serial"))
    named = frozenset(one["digest"] for one in allowed or ())
    well = well and len(named) <= MAX_ALLOWED and all(isinstance(one, str) and len(one) == 64 for one in named)
    if not well:
        raise ValueError
    return Feed(
        serial=serial,
        issued_at=issued,
        expires_at=expires,
        revocations=tuple(lines),
        allowed=None if allowed is None else named,
    )


def _moment(text: str) -> datetime:
    """With its zone, in UTC: a time that falls off the calendar there is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


def _is_serial(value: Any, *, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def accept(source: FeedSource, document: str, *, now: datetime, most: int = MAX_BYTES) -> Feed:
    """Take over a feed: refuse an expired or older one, keep the document, and stop what it revokes.

    Raises:
        FeedRefused: ``outcome`` is ``invalid``, ``expired`` or ``stale``: a serial lower than the highest ever
            held, or one that was given out for something else before.
    """
    feed = read(document, public_key=source.public_key, most=most)
    if feed.expires_at <= now:
        raise FeedRefused(f"The feed expired at {feed.expires_at.isoformat()}.", outcome="expired")
    if feed.issued_at > now + timedelta(minutes=5):
        raise FeedRefused("The feed was issued in the future.", outcome="invalid")
    with transaction.atomic():
        row = FeedSource.objects.select_for_update().get(pk=source.pk)
        older = row.expires_at is not None and feed.serial == row.serial and feed.expires_at < row.expires_at
        if feed.serial < row.serial or older:
            raise FeedRefused(f"The feed has the serial {feed.serial}; this site holds {row.serial}.", outcome="stale")
        before = {one.digest: one for one in ForeignRevocation.objects.filter(source=row)}
        if row.expires_at is not None and (number := _rewritten(before, feed, held=row.serial)) is not None:
            raise FeedRefused(f"The feed says something else under the serial {number} than it did.", outcome="stale")
        now_revoked = {line["digest"]: line for line in feed.revocations}
        ForeignRevocation.objects.filter(source=row).exclude(digest__in=now_revoked).delete()
        for digest, line in now_revoked.items():
            known = before.get(digest)
            if known is None or known.serial != line["serial"]:
                _take(row, line)
        for digest, gone in before.items():
            if digest not in now_revoked:
                _tell(gone.plugin, gone.version, digest, "restore", "no longer revoked", row)
        if feed.allowed is not None:
            AllowedDigest.objects.filter(source=row).delete()
            rows = (AllowedDigest(source=row, digest=digest) for digest in sorted(feed.allowed))
            AllowedDigest.objects.bulk_create(rows, batch_size=2000)
        row.serial, row.expires_at = feed.serial, feed.expires_at
        # A list of everything is kept as rows; the envelope of one that was fetched also as it came.
        row.document = document if len(document) <= MAX_BYTES else ""
        row.fetched_at, row.outcome, row.detail = now, "ok", ""
        row.save()
    source.refresh_from_db()
    return feed


def _rewritten(before: dict[str, ForeignRevocation], feed: Feed, *, held: int) -> int | None:
    """A serial under which this feed says something else than the one we hold; ``None``: it goes on from there.

    Serials are given out once. An issuer that lost its newest lines gives theirs out again, for other lines: to take
    those would let go what it revoked.
    """
    digests = {one.serial: one.digest for one in before.values()}
    for line in feed.revocations:
        if digests.get(line["serial"], line["digest"]) != line["digest"]:
            return int(line["serial"])
    same = {(line["digest"], line["serial"]) for line in feed.revocations} == {
        (one.digest, one.serial) for one in before.values()
    }
    return held if feed.serial == held and not same else None


def _take(source: FeedSource, line: dict[str, Any]) -> None:
    ForeignRevocation.objects.update_or_create(
        source=source,
        digest=line["digest"],
        defaults={
            "plugin": line["plugin"][:64],
            "version": line["version"][:64],
            "action": line["action"],
            "reason": line["reason"][:500],
            "serial": line["serial"],
        },
    )
    _tell(line["plugin"][:64], line["version"][:64], line["digest"], line["action"], line["reason"][:500], source)


def _tell(plugin: str, version: str, digest: str, action: str, reason: str, source: FeedSource) -> None:
    actor = f"feed:{source.name}"
    ports.tell(
        ports.StateChange(plugin=plugin, version=version, digest=digest, action=action, reason=reason, actor=actor)
    )
    audit.record(f"feed.{action}", target=f"release:{plugin}@{version}", actor=actor, reason=reason)


def is_fresh(source: FeedSource, *, now: datetime) -> bool:
    """Whether what we hold of a source still counts."""
    # The grace is taken from now: an expiry at the end of the calendar leaves no room to add it to.
    return source.expires_at is not None and now - timedelta(seconds=source.grace_seconds) < source.expires_at


def refuse_revoked(digest: str, name: str, *, now: datetime) -> None:
    """Raise ReleaseBlocked when a feed that we follow revokes these bytes, when this site keeps to allow-lists and none
    names them, or when a feed is stale and its policy is closed."""
    found = ForeignRevocation.objects.select_related("source").filter(digest=digest, source__enabled=True).first()
    if found is not None:
        raise ReleaseBlocked(
            f"{name} is revoked by {found.source.name}: {found.reason}", source=found.source.name, serial=found.serial
        )
    listing = FeedSource.objects.filter(enabled=True, only_allowed=True).order_by("pk")
    first = listing.first()
    if first is not None and not AllowedDigest.objects.filter(digest=digest, source__in=listing).exists():
        raise ReleaseBlocked(
            f"{name} is not on the allow-list of {first.name}, and this site installs nothing else.", source=first.name
        )
    for source in FeedSource.objects.filter(enabled=True, policy=FeedSource.Policy.CLOSED):
        if not is_fresh(source, now=now):
            raise ReleaseBlocked(
                f"The feed of {source.name} is stale, and this site installs nothing without a fresh one.",
                source=source.name,
            )


def state(source: FeedSource, *, now: datetime) -> str:
    """``fresh``, ``stale`` (expired, within its grace), ``expired`` or ``missing``."""
    if source.expires_at is None:
        return "missing"
    if now < source.expires_at:
        return "fresh"
    return "stale" if is_fresh(source, now=now) else "expired"


def document(source: FeedSource) -> Feed:
    """What we hold, verified again.

    Raises:
        FeedRefused: what is stored is not what was accepted.
    """
    return read(source.document, public_key=source.public_key)


def export_text(envelope: dict[str, str]) -> str:
    """An envelope as it is written to a file."""
    return json.dumps(envelope, indent=2) + "\n"
