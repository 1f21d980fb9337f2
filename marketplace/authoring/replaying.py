"""``plugin replay``: a tape by name or from a file, on its own artifact or against another release."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from marketplace import releases
from marketplace.authoring import project
from marketplace.authoring.errors import AuthorError
from marketplace.models import Release, ReleaseState
from sandbox import compiler, tape
from sandbox.artifact import Artifact, Kind
from sandbox.errors import SandboxError
from zelavis.errors import ZelavisError


def replay(name: str, *, against: str | None = None) -> tape.Replay:
    """Run a tape again.

    Args:
        name: a kept tape, or a file with one.
        against: a plugin directory, ``NAME@VERSION``, a version of the recorded plugin, or an artifact's digest.

    Raises:
        AuthorError: no such tape or release, or it does not deploy.
    """
    try:
        file = Path(name)
        body = file.read_text(encoding="utf-8") if file.is_file() else tape.get(name)
        recorded = tape.read(body)
        return tape.replay(body, artifact=_artifact(against, recorded["call"]["plugin"]) if against else None)
    except (SandboxError, ZelavisError) as error:
        raise AuthorError(f"{error.message} ({error.code})") from error


def _artifact(against: str, plugin: str) -> Artifact:
    if re.fullmatch(r"[0-9a-f]{64}", against):
        return compiler.load(against)
    if Path(against).is_dir():
        return project.read(against).deploy()
    name, _, version = against.rpartition("@")
    return release_artifact(name or plugin, version)


def offered(name: str) -> list[tape.Other]:
    """The approved releases of a plugin, for replays in the admin."""
    rows = Release.objects.filter(plugin__name=name, state=ReleaseState.APPROVED).order_by("-version_sort")
    return [
        tape.Other(digest=digest, version=version, deploy=functools.partial(release_artifact, name, version))
        for digest, version in rows.values_list("entry_digest", "version")[:20]
    ]


def release_artifact(name: str, version: str) -> Artifact:
    """The artifact of an approved release, deployed here if it was not: nothing else runs, not even to compare."""
    release = releases.installable(name, version)
    kind: Kind = "wasm" if release.kind == "wasm" else "javascript"
    return compiler.deploy(releases.entry_source(release), kind=kind, grants=release.manifest.get("capabilities", {}))
