"""Settings on their way from one version of a plugin to another.

What is valid under the new version's schema goes along; what is not stays with the version that had it, and comes back
with it on a roll back. A setting that the new version requires and nobody gave is asked for before anything changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marketplace import settings_schema
from zelavis.errors import InvalidSettings, SettingsRequired
from zelavis.models import Deployment, PluginEntry


@dataclass(frozen=True, kw_only=True)
class Carried:
    """Settings as a version takes them."""

    values: dict[str, Any]
    #: Names that do not go along, each with the reason.
    dropped: dict[str, str] = field(default_factory=dict)
    #: Names that are required and have neither a value nor a default.
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"kept {', '.join(sorted(self.values))}" if self.values else ""]
        parts += [f"left behind {name} ({why})" for name, why in sorted(self.dropped.items())]
        return "; ".join(part for part in parts if part)


def schema_of(manifest: str | Mapping[str, Any]) -> dict[str, Any]:
    """The settings schema of a manifest; empty where it has none (a plugin that its worker brings)."""
    document = json.loads(manifest) if isinstance(manifest, str) else manifest
    schema = document.get("settings") or {}
    return schema if isinstance(schema, dict) else {}


def hidden(entry: PluginEntry) -> frozenset[str]:
    """Names of settings whose values are never shown again, in any version that has to do with the entry now."""
    known = [one for one in (entry.serving, entry.previous, entry.candidate) if one is not None]
    return frozenset().union(*(settings_schema.secrets(schema_of(one.manifest)) for one in known))


def hidden_of(name: str) -> frozenset[str]:
    """The same by the name of a plugin; nothing of one that is not known."""
    entry = PluginEntry.objects.select_related("serving", "previous", "candidate").filter(name=name).first()
    return frozenset() if entry is None else hidden(entry)


def carry(schema: Mapping[str, Any], *sources: Mapping[str, Any]) -> Carried:
    """Of several sets of values those that are valid under ``schema``; a later set's valid value wins.

    Without a schema nothing can be checked, and everything goes along.
    """
    if not schema:
        return Carried(values={name: value for source in sources for name, value in source.items()})
    values: dict[str, Any] = {}
    dropped: dict[str, str] = {}
    rules = schema.get("properties", {})
    for source in sources:
        for name, value in source.items():
            rule = {name: rules[name]} if name in rules else {}
            problem = next(iter(settings_schema.value_problems({"properties": rule}, {name: value})), None)
            if problem is None:
                values[name] = value
            else:
                dropped[name] = problem[1]
    return Carried(
        values=values,
        dropped={name: why for name, why in dropped.items() if name not in values},
        missing=tuple(
            path.lstrip("/") for path, why in settings_schema.value_problems(schema, values) if why == "is required"
        ),
    )


def onward(entry: PluginEntry, deployment: Deployment) -> Carried:
    """The entry's settings for a version that comes: what was given with the request wins."""
    return carry(schema_of(deployment.manifest), json.loads(entry.settings), json.loads(deployment.settings))


def back(entry: PluginEntry, deployment: Deployment) -> Carried:
    """The entry's settings for a version that returns: what it had is there again, unless it was changed since."""
    return carry(schema_of(deployment.manifest), json.loads(deployment.settings), json.loads(entry.settings))


def check(
    manifest: Mapping[str, Any], *, present: Mapping[str, Any], given: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The values given with a request for a version, checked.

    Raises:
        InvalidSettings: one of them is not valid under the version's schema.
        SettingsRequired: with them a required setting has no value yet; the error carries the fields to fill in.
    """
    schema = schema_of(manifest)
    refuse_invalid(schema, given or {}, partial=True)
    missing = carry(schema, present, given or {}).missing
    if missing:
        fields = {name: schema["properties"][name] for name in missing}
        raise SettingsRequired(
            f"This version needs a value for {', '.join(missing)}; repeat the request with settings.", fields=fields
        )
    return dict(given or {})


def refuse_invalid(schema: Mapping[str, Any], values: Mapping[str, Any], *, partial: bool = False) -> None:
    """Refuse values that a schema does not take. ``partial``: what is required may be missing.

    Raises:
        InvalidSettings: it says which and why.
    """
    if not schema:
        return
    rules = {"properties": schema.get("properties", {})} if partial else schema
    problem = next(iter(settings_schema.value_problems(rules, values)), None)
    if problem is not None:
        raise InvalidSettings(f"settings{problem[0]}: {problem[1]}")
