"""Our own revocation feed and allow-list: signed, monotonic, expiring.

An envelope is ``{"keyId", "payload", "signature"}``; ``payload`` is base64 of the JSON text whose bytes, after the line
``zelavis-feed-v1``, are signed with Ed25519. The payload has ``serial`` (only grows), ``issuedAt``, ``expiresAt``,
``revocations`` (what holds now, one a digest) and ``allowed`` (every release that may be installed).
"""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import Max, OuterRef, Subquery

from marketplace import signatures
from marketplace.models import FeedEntry, Plugin, Release, ReleaseState

CONTEXT = b"zelavis-feed-v1\n"
#: How long a feed is good for. Sites ask much more often; this bounds how long a cut-off site believes it.
LASTS = timedelta(days=7)
#: Seconds for which a signed document is given out again.
KEPT = 60


def append(release: Release, *, action: str, reason: str, now: datetime) -> FeedEntry:
    """Add a line, in the caller's transaction."""
    return FeedEntry.objects.create(
        plugin=release.plugin.name,
        version=release.version,
        digest=release.digest,
        action=action,
        reason=reason[:500],
        created_at=now,
    )


def serial() -> int:
    """The newest serial; 0: nothing was ever revoked."""
    return FeedEntry.objects.aggregate(newest=Max("serial"))["newest"] or 0


def revocations() -> list[dict[str, Any]]:
    """What holds now: the newest line of each digest, restored ones left out."""
    newest = FeedEntry.objects.filter(digest=OuterRef("digest")).order_by("-serial").values("serial")[:1]
    lines = FeedEntry.objects.filter(serial=Subquery(newest)).exclude(action="restore").order_by("serial")
    return [
        {
            "serial": line.serial,
            "plugin": line.plugin,
            "version": line.version,
            "digest": line.digest,
            "action": line.action,
            "reason": line.reason,
            "at": line.created_at.isoformat(timespec="milliseconds"),
        }
        for line in lines
    ]


def allowed() -> list[dict[str, Any]]:
    """Every approved release of a listed plugin, with its signed record."""
    releases = Release.objects.filter(state=ReleaseState.APPROVED, plugin__state=Plugin.State.LISTED)
    return [
        {"plugin": name, "version": version, "digest": digest}
        for name, version, digest in releases.order_by("plugin__name", "version_sort").values_list(
            "plugin__name", "version", "digest"
        )
    ]


def payload(*, now: datetime, with_allowed: bool) -> dict[str, Any]:
    """The feed, or with ``allowed`` the list for a site that has no network."""
    value: dict[str, Any] = {
        "type": "zelavis.allowlist.v1" if with_allowed else "zelavis.feed.v1",
        "serial": serial(),
        "issuedAt": now.isoformat(timespec="milliseconds"),
        "expiresAt": (now + LASTS).isoformat(timespec="milliseconds"),
        "revocations": revocations(),
    }
    if with_allowed:
        value["allowed"] = allowed()
    return value


def published(*, now: datetime, with_allowed: bool = False) -> dict[str, str]:
    """The signed document, at most a minute old; a new serial is a new document at once."""
    name = f"feed:{serial()}:{signatures.key_id(base64.b64decode(signatures.server_public_key()))}"
    if with_allowed:
        # Whatever changes what may be installed touches a plugin.
        touched = Plugin.objects.order_by("-updated_at").values_list("updated_at", flat=True).first()
        name = f"{name}:allowed:{touched.timestamp() if touched else 0}"
    kept: dict[str, str] | None = cache.get(name)
    if kept is None:
        kept = envelope(payload(now=now, with_allowed=with_allowed))
        cache.set(name, kept, KEPT)
    return kept


def envelope(value: dict[str, Any]) -> dict[str, str]:
    """Sign a payload."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    public = base64.b64decode(signatures.server_public_key())
    return {
        "keyId": signatures.key_id(public),
        "payload": base64.b64encode(text).decode(),
        "signature": signatures.sign(CONTEXT + text),
    }
