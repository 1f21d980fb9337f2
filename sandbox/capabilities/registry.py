"""Which capabilities there are. Other apps register theirs in ``AppConfig.ready``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from sandbox.capabilities import builtin
from sandbox.capabilities.base import Capability

if TYPE_CHECKING:
    from sandbox.call import Call

_by_name: dict[str, Capability] = {}
_by_import: dict[str, Capability] = {}
#: Asked during a call, at most ten times a second: the capability names that were taken from the plugin since the
#: call began; ``*`` means all. Filled in ``AppConfig.ready`` by the app that keeps the consents.
REVOCATIONS: list[Callable[[Call], Collection[str]]] = []
#: What is done in this process after writes of a kind stand (``email``, ``schedule``): ring the bell of who acts on
#: them. Filled in ``AppConfig.ready``; a bell may be lost, the rows are the truth.
AFTER_COMMIT: dict[str, list[Callable[[], None]]] = {"email": [], "schedule": []}


def register(capability: Capability) -> Capability:
    """Make a capability known. The same class again is ignored.

    Raises:
        ValueError: another capability has this name or import.
    """
    known = _by_name.get(capability.name) or _by_import.get(capability.import_name)
    if known is not None:
        if type(known) is type(capability):
            return known
        raise ValueError(f"There is a capability {known.name} already.")
    _by_name[capability.name] = capability
    _by_import[capability.import_name] = capability
    return capability


def get(name: str) -> Capability | None:
    """By its name in the manifest: ``content:read``."""
    _load()
    return _by_name.get(name)


def by_import(family: str) -> Capability | None:
    """By its import from ``zelavis_v1``: ``content_read``."""
    capability = _by_import.get(family)
    if capability is None:
        _load()
        capability = _by_import.get(family)
    return capability


def names() -> list[str]:
    """Names of every capability."""
    return [capability.name for capability in all_capabilities()]


def all_capabilities() -> list[Capability]:
    """Every capability, by name."""
    _load()
    return [capability for _, capability in sorted(_by_name.items())]


@functools.cache
def _load() -> None:
    # Not at import: who only registers has no need of them.
    for capability in builtin.capabilities():
        register(capability)
