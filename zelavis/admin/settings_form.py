"""The settings of a plugin as a form drawn from its schema. Secrets go in and never come out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketplace import settings_schema
from zelavis import carry, registry
from zelavis.models import PluginEntry


@dataclass(frozen=True, kw_only=True)
class Row:
    """A field with what stands in it."""

    field: settings_schema.Field
    #: As the control shows it; nothing of a secret.
    value: str
    #: Whether a value of a secret is stored.
    kept: bool = False


def schema_of(entry: PluginEntry) -> dict[str, Any]:
    """The schema of the version that serves; empty where there is none, and then there is no form either."""
    return carry.schema_of(entry.serving.manifest) if entry.serving else {}


def rows(entry: PluginEntry, sent: Mapping[str, str] | None = None) -> list[Row]:
    """The form, with what is stored, or with what was sent and could not be taken."""
    stored = json.loads(entry.settings)
    return [
        Row(
            field=field,
            value="" if field.kind == "secret" else _shown(stored, field.name, sent),
            kept=field.kind == "secret" and stored.get(field.name) is not None,
        )
        for field in settings_schema.fields(schema_of(entry))
    ]


def read(entry: PluginEntry, sent: Mapping[str, str]) -> dict[str, Any]:
    """What was sent, as settings; the schema judges them afterwards. What is empty is not set.

    A secret that was left empty stays as it is, unless its box says that it goes.
    """
    stored, values = json.loads(entry.settings), {}
    for field in settings_schema.fields(schema_of(entry)):
        text = sent.get(f"setting-{field.name}", "")
        if text.strip():
            values[field.name] = value_of(field.kind, text)
        elif field.kind == "secret" and field.name in stored and f"clear-{field.name}" not in sent:
            values[field.name] = registry.MASK
    return values


def value_of(kind: str, text: str) -> Any:
    """The text of a control as a setting; what cannot be one stays text, and the schema refuses it."""
    match kind:
        case "boolean":
            return {"true": True, "false": False}.get(text, text)
        case "integer" | "number":
            try:
                return int(text) if kind == "integer" else float(text)
            except ValueError:
                return text
        case "list":
            return [line.strip() for line in text.splitlines() if line.strip()]
        case _:
            return text


def _shown(stored: Mapping[str, Any], name: str, sent: Mapping[str, str] | None) -> str:
    if sent is not None:
        return sent.get(f"setting-{name}", "")
    value = stored.get(name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "\n".join(value) if isinstance(value, list) else str(value)
