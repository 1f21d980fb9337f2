"""What serves: the read model of the registry, parsed strictly from what was consented to.

A row that cannot be understood raises :class:`~zelavis.errors.RegistryMalformed` and nothing of the registry runs:
a validator that is silently left out would let through what it is there to stop.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from zelavis.errors import RegistryMalformed

#: Entries without an order come after all that have one.
LAST = 1 << 31


@dataclass(frozen=True, kw_only=True)
class HookBinding:
    """One hook of a plugin's manifest."""

    name: str
    order: int
    #: What an error of this plugin does to the others and to a before-hook's change; ``None``: the hook's own way.
    on_error: Literal["abort", "continue"] | None
    timeout_ms: int | None


@dataclass(frozen=True, kw_only=True)
class RouteBinding:
    """One route of a plugin's manifest."""

    path: str
    methods: tuple[str, ...]
    public: bool


@dataclass(frozen=True, kw_only=True)
class ScheduleBinding:
    """One schedule of a plugin's manifest."""

    name: str
    cron: str
    timezone: str


@dataclass(frozen=True, kw_only=True)
class Surface:
    """What a manifest declares that the core uses."""

    hooks: tuple[HookBinding, ...]
    routes: tuple[RouteBinding, ...]
    schedules: tuple[ScheduleBinding, ...]
    #: ``deadlineMs``, ``memoryMb`` … as declared; the adapter takes the lower of these and its own.
    limits: Mapping[str, Any]
    settings_schema: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ActiveEntry:
    """A plugin that serves, with everything a call needs."""

    name: str
    version: str
    adapter: str
    deployment: str
    #: SHA-256 of the entry file; empty where the worker brings its own code.
    digest: str
    kind: str
    worker: int | None
    order: int
    surface: Surface
    grants: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]
    #: The version that a staged update sends a share of the calls to.
    staged: Staged | None = None

    def listens(self, name: str) -> bool:
        """Whether this version is asked for a hook. A schedule is a promise to be called when its time comes, whether
        or not the manifest lists the hook too."""
        return self.hook(name) is not None or (
            name == "cron" and bool(self.surface.schedules or "schedule" in self.grants)
        )

    def hook(self, name: str) -> HookBinding | None:
        """The plugin's binding of a hook, if it listens."""
        return next((binding for binding in self.surface.hooks if binding.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A version on its way into service, and the marketplace's row that says which calls it gets."""

    rollout: int
    entry: ActiveEntry


def parse(
    *,
    name: str,
    version: str,
    adapter: str,
    deployment: str,
    digest: str,
    kind: str,
    worker: int | None,
    order: int | None,
    manifest: str,
    grants: str,
    settings: str,
    staged: Staged | None = None,
) -> ActiveEntry:
    """An entry and its serving deployment as one value.

    Raises:
        RegistryMalformed: something stored is not what it has to be.
    """
    try:
        return ActiveEntry(
            name=name,
            version=version,
            adapter=adapter,
            deployment=deployment,
            digest=digest,
            kind=kind,
            worker=worker,
            order=LAST if order is None else order,
            surface=surface(manifest),
            grants=_grants(grants),
            settings=_settings(settings),
            staged=staged,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise RegistryMalformed(f"What is stored of the plugin {name} cannot be understood: {error}") from error


@lru_cache(maxsize=1024)
def surface(manifest: str) -> Surface:
    """The parts of a manifest's text that the core uses.

    Raises:
        ValueError: not a manifest's shape.
    """
    document = _mapping(json.loads(manifest), "manifest")
    return Surface(
        hooks=tuple(_hook(item) for item in _list(document, "hooks")),
        routes=tuple(_route(item) for item in _list(document, "routes")),
        schedules=tuple(_schedule(item) for item in _list(document, "schedules")),
        limits=_mapping(document.get("limits", {}), "limits"),
        settings_schema=_mapping(document.get("settings", {}), "settings"),
    )


@lru_cache(maxsize=1024)
def _grants(text: str) -> Mapping[str, Mapping[str, Any]]:
    found = _mapping(json.loads(text), "grants")
    return {capability: _mapping(grant, f"grants/{capability}") for capability, grant in found.items()}


@lru_cache(maxsize=1024)
def _settings(text: str) -> Mapping[str, Any]:
    return _mapping(json.loads(text), "settings")


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{place} is not an object")
    return value


def _list(document: Mapping[str, Any], member: str) -> list[dict[str, Any]]:
    value = document.get(member, [])
    if not isinstance(value, list):
        raise TypeError(f"{member} is not a list")
    return [_mapping(item, member) for item in value]


def _text(item: Mapping[str, Any], member: str) -> str:
    value = item[member]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{member} is not a text")
    return value


def _whole(value: Any, member: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{member} is not a whole number")  # noqa: TRY004  every fault of a manifest is one kind
    return value


def _hook(item: Mapping[str, Any]) -> HookBinding:
    on_error = item.get("onError")
    if on_error not in (None, "abort", "continue"):
        raise ValueError("onError is neither abort nor continue")
    timeout = item.get("timeoutMs")
    return HookBinding(
        name=_text(item, "name"),
        order=_whole(item.get("order", 100), "order"),
        on_error=on_error,
        timeout_ms=None if timeout is None else _whole(timeout, "timeoutMs"),
    )


def _route(item: Mapping[str, Any]) -> RouteBinding:
    path = _text(item, "path")
    methods = item.get("methods", ["GET"])
    if not path.startswith("/") or not isinstance(methods, list) or not methods:
        raise ValueError("a route needs a path that starts with / and methods")
    return RouteBinding(
        path=path,
        methods=tuple(_text({"method": method}, "method").upper() for method in methods),
        # Anything but a plain true is private.
        public=item.get("public") is True,
    )


def _schedule(item: Mapping[str, Any]) -> ScheduleBinding:
    timezone = item.get("timezone", "UTC")
    return ScheduleBinding(
        name=_text(item, "name"), cron=_text(item, "cron"), timezone=_text({"timezone": timezone}, "timezone")
    )
