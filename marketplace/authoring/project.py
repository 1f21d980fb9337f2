"""A plugin's directory: its manifest, its entry file, its bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketplace import bundles, manifest
from marketplace.authoring.errors import AuthorError
from sandbox import compiler
from sandbox.artifact import Artifact
from sandbox.errors import SandboxError
from sandbox.limits import Limits
from zelavis.errors import ZelavisError

MANIFEST = "zelavis.plugin.json"


@dataclass(frozen=True, kw_only=True)
class Project:
    """A plugin as its author has it."""

    directory: Path
    manifest: manifest.Manifest
    source: bytes

    @property
    def grants(self) -> Mapping[str, Mapping[str, Any]]:
        """Everything the manifest asks for: while trying, an author consents to all of it."""
        return self.manifest.capabilities

    @property
    def limits(self) -> Limits:
        """The host's limits, lowered by the manifest's."""
        return Limits().lowered(self.manifest.data.get("limits"))

    @property
    def settings(self) -> dict[str, Any]:
        """The defaults of the manifest's settings."""
        properties = self.manifest.data.get("settings", {}).get("properties", {})
        return {name: one["default"] for name, one in properties.items() if "default" in one}

    def deploy(self) -> Artifact:
        """Compile or snapshot the entry file.

        Raises:
            AuthorError: the sandbox does not take it.
        """
        try:
            return compiler.deploy(self.source, kind=self.manifest.kind, grants=self.grants)  # type: ignore[arg-type]
        except SandboxError as error:
            raise AuthorError(f"{self.manifest.entry}: {error.message} ({error.code})") from error


def read(path: str) -> Project:
    """Read the plugin in a directory.

    Raises:
        AuthorError: no manifest, a manifest that is wrong, or no entry file.
    """
    directory = Path(path)
    file = directory / MANIFEST
    if not file.is_file():
        raise AuthorError(f"{directory}: there is no {MANIFEST} here. Make a plugin with: manage.py plugin new NAME")
    try:
        parsed = manifest.parse(file.read_bytes())
    except ZelavisError as error:
        problems = error.members.get("errors", [])
        lines = [f"{one.get('pointer') or '/'}: {one.get('detail')}" for one in problems]
        raise AuthorError("\n".join([f"{file}: {error.message}", *lines])) from error
    entry = directory / parsed.entry
    if not entry.is_file():
        raise AuthorError(f"{entry} does not exist. Build the plugin first; its README says how.")
    return Project(directory=directory, manifest=parsed, source=entry.read_bytes())


def bundle(project: Project) -> bytes:
    """The zip that would be published; the same bytes for the same files.

    Raises:
        AuthorError: a file cannot be part of a bundle.
    """
    try:
        return bundles.pack(project.directory)
    except ZelavisError as error:
        raise AuthorError(error.message) from error
