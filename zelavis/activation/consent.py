"""Consent: an operator has seen what a version may do, and said yes to exactly that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from zelavis.activation.targets import Target
from zelavis.errors import ConsentOutdated, ConsentRequired
from zelavis.models import Deployment


def digest(target: Target) -> str:
    """What the consent page shows, as 64 hexadecimal digits: the version's bytes and all it asks for."""
    shown = {
        "name": target.name,
        "version": target.version,
        "digest": target.digest,
        "capabilities": target.capabilities,
        "publicRoutes": sorted(_public_routes(target.manifest)),
    }
    return hashlib.sha256(json.dumps(shown, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def escalations(target: Target, serving: Deployment | None) -> list[str]:
    """What this version may do that the serving one may not, in words; for a first install: everything."""
    before = json.loads(serving.grants) if serving is not None else {}
    public_before = _public_routes(json.loads(serving.manifest)) if serving is not None else set()
    added = [f"{capability}: new" for capability in target.capabilities if capability not in before]
    for capability, grant in target.capabilities.items():
        if capability in before:
            added += [f"{capability}: {part}" for part in _widened(before[capability], grant)]
    added += [f"public route {path}" for path in sorted(_public_routes(target.manifest) - public_before)]
    return added


def check(target: Target, *, serving: Deployment | None, given: str | None) -> str:
    """The digest to keep with the deployment.

    Nothing new asked: none is needed, and the operator's earlier consent carries over. Anything more than what
    serves now needs the digest of exactly this version.

    Raises:
        ConsentRequired: none given; the error carries what to show and the digest to give.
        ConsentOutdated: one given, for something else.
    """
    wanted = digest(target)
    added = escalations(target, serving)
    members: dict[str, Any] = {
        "consent": wanted,
        "capabilities": target.capabilities,
        "added": added,
        "version": target.version,
    }
    if given:
        if given != wanted:
            raise ConsentOutdated(**members)
    elif added:
        raise ConsentRequired(**members)
    return wanted


def _public_routes(manifest: Mapping[str, Any]) -> set[str]:
    return {
        f"{method} {route.get('path')}"
        for route in manifest.get("routes", [])
        if route.get("public") is True
        for method in route.get("methods", ["GET"])
    }


def _widened(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Members of a grant that allow more than they did. What cannot be compared counts as more."""
    found = []
    for member, value in after.items():
        if member == "reason" or before.get(member) == value:
            continue
        held = before.get(member)
        if isinstance(value, list) and isinstance(held, list):
            more = [str(item) for item in value if item not in held]
            found += [f"{member} + {', '.join(more)}"] if more else []
        elif isinstance(value, int | float) and isinstance(held, int | float) and value <= held:
            continue
        else:
            found.append(f"{member} {json.dumps(held)} → {json.dumps(value)}")
    # A bound that was there and is gone is no bound at all.
    found += [f"{member} no longer limited" for member in before if member != "reason" and member not in after]
    return found
