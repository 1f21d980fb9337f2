"""Consent: an operator has seen what a version may do, and said yes to exactly that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from marketplace import capabilities
from marketplace.models import Plugin
from zelavis.activation.targets import Target
from zelavis.errors import ConsentOutdated, ConsentRequired
from zelavis.models import Deployment


def digest(target: Target) -> str:
    """What the consent page shows, as 64 hexadecimal digits: the version's bytes and all it asks for."""
    shown: dict[str, Any] = {
        "name": target.name,
        "version": target.version,
        "digest": target.digest,
        "capabilities": target.capabilities,
        "publicRoutes": sorted(_public_routes(target.manifest)),
    }
    plugin = _listing(target)
    if plugin is not None and plugin.transferred_at is not None:
        # A yes to one owner is no yes to the next.
        shown["ownership"] = plugin.ownership
    return hashlib.sha256(json.dumps(shown, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def escalations(target: Target, serving: Deployment | None) -> list[str]:
    """What this version may do that the serving one may not, in words; for a first install: everything.

    A plugin that changed hands since the serving version was consented to is somebody else's: that alone asks again.
    """
    before = json.loads(serving.grants) if serving is not None else {}
    public_before = _public_routes(json.loads(serving.manifest)) if serving is not None else set()
    change = capabilities.delta(before, dict(target.capabilities))
    added = [f"{capability}: new" for capability in change["added"]]
    added += [
        f"{one['capability']}: {one['quantity']} {json.dumps(one['before'])} → {json.dumps(one['after'])}"
        for one in change["changed"]
        if one["escalates"]
    ]
    added += [f"public route {path}" for path in sorted(_public_routes(target.manifest) - public_before)]
    plugin = _listing(target) if serving is not None else None
    moved = plugin.transferred_at if plugin is not None else None
    agreed = serving.consented_at if serving is not None else None
    if plugin is not None and moved is not None and (agreed is None or moved > agreed):
        added.append(f"new owner: {plugin.publisher.slug}")
    return added


def _listing(target: Target) -> Plugin | None:
    """The plugin in the marketplace; ``None``: a worker's own, which nobody owns there."""
    return Plugin.objects.select_related("publisher").filter(name=target.name).first() if target.release else None


def check(target: Target, *, serving: Deployment | None, given: str | None, implied: bool = False) -> str:
    """The digest to keep with the deployment.

    Nothing new asked: none is needed, and the operator's earlier consent carries over. Anything more than what
    serves now needs the digest of exactly this version. With ``implied`` the request to install is itself the consent,
    as long as nothing of high risk is asked for: the caller named the plugin, and the answer and the audit log say what
    it was granted.

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
    elif added and not (implied and capabilities.release_risk(target.manifest) != "high"):
        raise ConsentRequired(**members)
    return wanted


def _public_routes(manifest: Mapping[str, Any]) -> set[str]:
    return {
        f"{method} {route.get('path')}"
        for route in manifest.get("routes", [])
        if route.get("public") is True
        for method in route.get("methods", ["GET"])
    }
