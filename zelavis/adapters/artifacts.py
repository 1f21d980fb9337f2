"""Artifacts at hand: each host has a cache of its own, and what it lacks is made again from the release's bytes."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING

from sandbox.errors import ArtifactNotFound
from zelavis.models import Deployment

if TYPE_CHECKING:
    from sandbox.artifact import Artifact

logger = logging.getLogger("zelavis.adapters")


def load(digest: str) -> Artifact:
    """The deployed artifact; on a host that has never seen it, compiled from the release it was deployed from.

    Raises:
        SandboxError, ZelavisError: neither artifact nor release can be had.
    """
    # wasmtime is loaded in the processes that run plugins, when they first do.
    from marketplace import releases
    from marketplace.models import Release
    from sandbox import compiler

    try:
        return compiler.load(digest)
    except ArtifactNotFound:
        deployment = (
            Deployment.objects.filter(entry_digest=digest, state=Deployment.State.DEPLOYED)
            .exclude(release="")
            .order_by("-created_at")
            .first()
        )
        release = Release.objects.filter(pk=deployment.release).first() if deployment else None
        if deployment is None or release is None:
            raise
        source = releases.entry_source(release)
        if hashlib.sha256(source).hexdigest() != digest:
            raise
        logger.info("artifact compiled on this host", extra={"plugin": release.plugin.name, "digest": digest})
        return compiler.deploy(source, kind=deployment.kind, grants=json.loads(deployment.grants))  # type: ignore[arg-type]
