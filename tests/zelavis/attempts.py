"""Attempts at activation with versions from a shelf: what they were, and what the registry says of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.zelavis.plugs import manifest
from zelavis import activation, registry
from zelavis.activation import targets
from zelavis.activation.targets import Target
from zelavis.models import Activation, PluginEntry


class Shelf:
    """Versions that can be installed, instead of the marketplace's releases."""

    def __init__(self) -> None:
        self.newest = "1.0.0"
        self.capabilities: dict[str, dict[str, Any]] = {}
        self.declared: dict[str, Any] = {"hooks": ["content:afterSave"]}

    def find(self, name: str, version: str | None, **_: Any) -> Target:
        version = version or self.newest
        return Target(
            name=name,
            version=version,
            specifier=f"marketplace:{name}@{version}",
            source="community",
            digest=version.replace(".", "") * 16,
            entry_digest="e" * 64,
            kind="javascript",
            manifest=manifest(name, version=version, capabilities=self.capabilities, **self.declared),
        )


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """One plugin with as many versions as a test asks for."""
    shelf = Shelf()
    monkeypatch.setattr(targets, "find", shelf.find)
    return shelf


def install(name: str = "alpha", **given: Any) -> Activation:
    """Install from the shelf through the scripted adapter."""
    return activation.install(name, actor="user:ann", adapter="scripted", **given)


def steps(attempt: Activation) -> list[str]:
    """Its timeline."""
    return list(attempt.events.values_list("step", flat=True))


def entry(name: str = "alpha") -> PluginEntry:
    """The plugin's entry as it stands now."""
    return registry.get(name)


def states(name: str = "alpha") -> tuple[str, str, str, str | None]:
    """Status, deployment, activation, and the version that serves."""
    found = entry(name)
    return (
        found.status,
        found.deployment_state,
        found.activation_state,
        found.serving.version if found.serving else None,
    )
