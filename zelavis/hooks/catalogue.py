"""The hook catalogue: the whole contract between a host and its plugins' hooks, in one file.

Each hook has a name, the JSON Schema of its event, when it runs, what a plugin's answer may do, which parts of the
event need which capability, and one time budget for all plugins that listen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

#: Capabilities of which any one opens a part of an event.
AnyOf = tuple[str, ...]


class Moment(StrEnum):
    """When a hook runs."""

    #: In the caller's time, before the change: an answer may reject it or change declared fields.
    BEFORE = "before"
    #: After the change is committed, by a worker: answers are kept and change nothing.
    AFTER = "after"
    #: For one plugin, about itself, once.
    LIFECYCLE = "lifecycle"
    #: For one plugin, because a time came or a request named it.
    ADDRESSED = "addressed"


@dataclass(frozen=True, kw_only=True)
class Hook:
    """One line of the contract."""

    name: str
    moment: Moment
    summary: str
    #: JSON Schema of the event.
    payload: Mapping[str, Any]
    #: Milliseconds for all listeners together; one listener never gets more than what is left.
    budget_ms: int
    #: Part of the event (a top-level member) → capabilities of which one must be granted to see it.
    withheld: Mapping[str, AnyOf] = field(default_factory=dict)
    #: Top-level member whose fields an answer's ``change`` may set; empty: an answer changes nothing.
    changes: str = ""
    #: Capabilities of which one must be granted to change anything.
    change_needs: AnyOf = ()
    #: Whether ``POST /api/hooks/:name`` takes it.
    fireable: bool = False


_TEXT: Mapping[str, Any] = {"type": "string"}
_TEXT_OR_NULL: Mapping[str, Any] = {"type": ["string", "null"]}
_CONTENT = {"content": ("content:read", "content:write")}


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


_SAVED = _object(
    {"collection": _TEXT, "id": _TEXT_OR_NULL, "content": {"type": "object"}}, {"created": {"type": "boolean"}}
)
_DELETED = _object({"collection": _TEXT, "id": _TEXT_OR_NULL}, {"content": {"type": "object"}})
_VERSION = _object({"version": _TEXT}, {"previousVersion": _TEXT_OR_NULL, "purge": {"type": "boolean"}})

#: Every hook there is, by name.
HOOKS: Mapping[str, Hook] = {
    hook.name: hook
    for hook in (
        Hook(
            name="content:beforeSave",
            moment=Moment.BEFORE,
            summary="A piece of content is about to be saved. May reject it or change its fields.",
            payload=_SAVED,
            budget_ms=2_000,
            withheld=_CONTENT,
            changes="content",
            change_needs=("content:write",),
            fireable=True,
        ),
        Hook(
            name="content:afterSave",
            moment=Moment.AFTER,
            summary="A piece of content was saved.",
            payload=_SAVED,
            budget_ms=10_000,
            withheld=_CONTENT,
            fireable=True,
        ),
        Hook(
            name="content:beforeDelete",
            moment=Moment.BEFORE,
            summary="A piece of content is about to be deleted. May reject it.",
            payload=_DELETED,
            budget_ms=2_000,
            withheld=_CONTENT,
            fireable=True,
        ),
        Hook(
            name="content:afterDelete",
            moment=Moment.AFTER,
            summary="A piece of content was deleted.",
            payload=_DELETED,
            budget_ms=10_000,
            withheld=_CONTENT,
            fireable=True,
        ),
        Hook(
            name="user:created",
            moment=Moment.AFTER,
            summary="A user account was made.",
            payload=_object(
                {"id": _TEXT},
                {
                    "username": _TEXT,
                    "email": _TEXT,
                    "isStaff": {"type": "boolean"},
                    "isActive": {"type": "boolean"},
                },
            ),
            budget_ms=10_000,
            withheld={"username": ("users:read",), "email": ("users:read",)},
            fireable=True,
        ),
        Hook(
            name="cron",
            moment=Moment.ADDRESSED,
            summary="The time of one of the plugin's schedules came.",
            payload=_object({"schedule": _TEXT, "scheduledAt": _TEXT}, {"cron": _TEXT, "data": {}}),
            budget_ms=30_000,
        ),
        Hook(
            name="route",
            moment=Moment.ADDRESSED,
            summary="A request came to one of the plugin's routes; the answer is the response.",
            payload=_object(
                {
                    "method": _TEXT,
                    "path": _TEXT,
                    "route": _TEXT,
                    "params": {"type": "object"},
                    "query": {"type": "object"},
                    "headers": {"type": "object"},
                    "body": {"type": ["object", "null"]},
                    "public": {"type": "boolean"},
                    "caller": {"type": ["object", "null"]},
                }
            ),
            budget_ms=5_000,
        ),
        Hook(
            name="plugin:install",
            moment=Moment.LIFECYCLE,
            summary="The plugin was installed; runs before plugin:activate, the first time only.",
            payload=_VERSION,
            budget_ms=5_000,
        ),
        Hook(
            name="plugin:activate",
            moment=Moment.LIFECYCLE,
            summary="This version is about to serve. An error keeps it from serving.",
            payload=_VERSION,
            budget_ms=5_000,
        ),
        Hook(
            name="plugin:deactivate",
            moment=Moment.LIFECYCLE,
            summary="The plugin no longer serves. An error is noted and stops nothing.",
            payload=_VERSION,
            budget_ms=5_000,
        ),
        Hook(
            name="plugin:uninstall",
            moment=Moment.LIFECYCLE,
            summary="The plugin is being removed, before its data goes. An error is noted and stops nothing.",
            payload=_VERSION,
            budget_ms=5_000,
        ),
    )
}


def withhold(hook: Hook, payload: Mapping[str, Any], granted: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The event as a plugin with these grants may see it: parts it has no capability for are left out."""
    return {
        member: value
        for member, value in payload.items()
        if member not in hook.withheld
        or any(
            capability in granted and _covers(granted[capability], member, payload)
            for capability in hook.withheld[member]
        )
    }


def _covers(grant: Mapping[str, Any], member: str, payload: Mapping[str, Any]) -> bool:
    """Whether a grant's quantities reach this part: named collections are no others, addresses are asked for apart."""
    if member == "content" and grant.get("collections") is not None:
        return payload.get("collection") in grant["collections"]
    return member != "email" or grant.get("email") is True
