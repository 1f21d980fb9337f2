"""Who said yes, to which bytes; and the signed record of what was approved."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from marketplace import signatures
from marketplace.actors import Actor
from marketplace.errors import NotPermitted, ReviewConflict
from marketplace.models import Approval, Release

#: How many people must say yes to a release of high risk.
FOUR_EYES = 2
RECORD_CONTEXT = b"zelavis-release-v1\n"


def needed(release: Release) -> int:
    """How many people must approve."""
    return FOUR_EYES if release.risk == "high" else 1


def given(release: Release) -> list[Approval]:
    """The approvals of exactly these bytes."""
    return list(Approval.objects.filter(release=release, digest=release.digest).order_by("created_at"))


def add(release: Release, actor: Actor, *, reason: str, now: datetime) -> bool:
    """One person's yes; answers whether that makes enough.

    Raises:
        ReviewConflict: this person said yes already. NotPermitted: four eyes are needed and nobody owns the token.
    """
    if needed(release) > 1 and not actor.is_person:
        raise NotPermitted("A release of high risk is approved by people; this token belongs to nobody.")
    before = given(release)
    if any(approval.identity == actor.identity for approval in before):
        raise ReviewConflict("You have approved this release; a second person must.", approvals=len(before))
    Approval.objects.create(
        release=release, digest=release.digest, identity=actor.identity, reason=reason, created_at=now
    )
    return len(before) + 1 >= needed(release)


def record(release: Release, *, approved_by: list[str], now: datetime) -> dict[str, Any]:
    """What is signed: which bytes, what they may ask for and how that differs from before, by whom, when."""
    return {
        "type": "zelavis.release.v1",
        "plugin": release.plugin.name,
        "version": release.version,
        "publisher": release.publisher.slug,
        "digest": release.digest,
        "entryDigest": release.entry_digest,
        "kind": release.kind,
        "capabilities": release.capabilities,
        "delta": release.delta,
        "risk": release.risk,
        "auditRules": release.audit_rules,
        "approvedBy": approved_by,
        "approvedAt": now.isoformat(timespec="milliseconds"),
    }


def sign_record(release: Release, *, actor: Actor, now: datetime) -> None:
    """Write and sign the record of an approval into the row; the caller saves it."""
    people = [approval.identity for approval in given(release)]
    text = canonical(record(release, approved_by=people, now=now))
    release.record_text = text
    release.record_signature = signatures.sign(RECORD_CONTEXT + text.encode())


def canonical(value: Any) -> str:
    """JSON with sorted members and nothing between them: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def record_holds(release: Release, public_key: str) -> bool:
    """Whether the record is signed by this key and is about the release's bytes and capabilities."""
    if not release.record_text or not signatures.verify(
        public_key, RECORD_CONTEXT + release.record_text.encode(), release.record_signature
    ):
        return False
    value = json.loads(release.record_text)
    return bool(value["digest"] == release.digest and value["capabilities"] == release.capabilities)
