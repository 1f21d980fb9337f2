"""What is to be installed: a release of the marketplace, or a worker's own plugin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketplace.models import Release
from zelavis.adapters.base import Adapter
from zelavis.errors import NotFound, PluginBlocked
from zelavis.killswitch import WITHDRAWN
from zelavis.models import Deployment, PluginEntry


@dataclass(frozen=True, kw_only=True)
class Target:
    """One version, with everything a deployment keeps of it."""

    name: str
    version: str
    specifier: str
    #: ``official`` or ``community``.
    source: str
    release: str = ""
    digest: str = ""
    entry_digest: str = ""
    kind: str = ""
    manifest: Mapping[str, Any]

    @property
    def capabilities(self) -> Mapping[str, Mapping[str, Any]]:
        """What it asks for."""
        asked = self.manifest.get("capabilities", {})
        return asked if isinstance(asked, dict) else {}


def find(name: str, version: str | None, *, entry: PluginEntry | None, adapter: Adapter) -> Target:
    """The version to install: the newest installable one, or the one named.

    An entry that names a worker needs no release: the worker brings its code, and it gets no capability here.

    Raises:
        ZelavisError: the marketplace knows no such release, or it may not be installed.
    """
    from marketplace import releases

    try:
        release = releases.installable(name, version)
    except NotFound:
        if entry is None or not adapter.needs_worker or version is not None:
            raise
        return Target(
            name=name, version="", specifier=entry.specifier, source=entry.source, manifest=_worker_manifest(name)
        )
    return of_release(release)


def of_release(release: Release) -> Target:
    """A release as a target."""
    name = release.plugin.name
    return Target(
        name=name,
        version=release.version,
        specifier=f"marketplace:{name}@{release.version}",
        source=release.plugin.source,
        release=release.pk,
        digest=release.digest,
        entry_digest=release.entry_digest,
        kind=release.kind,
        manifest=json.loads(release.manifest_text),
    )


def refuse_withdrawn(deployment: Deployment) -> None:
    """A version whose release was withdrawn meanwhile does not come back.

    Raises:
        PluginBlocked: it was, or its release is gone.
    """
    if not deployment.release:
        return
    release = Release.objects.filter(pk=deployment.release).first()
    if release is None or release.state in WITHDRAWN:
        state = "gone" if release is None else release.state
        raise PluginBlocked(f"The release {deployment} is {state}; it cannot be activated.")


def _worker_manifest(name: str) -> dict[str, Any]:
    return {"manifestVersion": 1, "name": name, "hooks": [], "routes": [], "schedules": [], "capabilities": {}}
