"""Writing history: the release's own and the audit log, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from marketplace.actors import Actor
from marketplace.models import Release, ReviewEvent
from zelavis import audit


def write(
    release: Release,
    verb: str,
    *,
    actor: Actor,
    now: datetime,
    text: str = "",
    before: str = "",
    after: str = "",
    public: bool = True,
    changes: Mapping[str, Any] | None = None,
) -> ReviewEvent:
    """One row in the release's history and one in the audit log."""
    event = ReviewEvent.objects.create(
        release=release,
        verb=verb,
        actor=actor.name,
        text=text,
        before=before,
        after=after,
        digest=release.digest,
        public=public,
        created_at=now,
    )
    moved = {"state": [before, after]} if before != after else {}
    audit.record(
        f"release.{verb}",
        target=f"release:{release}",
        actor=actor.name,
        # A note is for curators; the audit log has readers of its own and keeps that there was one.
        reason=text if public else "",
        changes={**moved, **(changes or {})},
    )
    return event
