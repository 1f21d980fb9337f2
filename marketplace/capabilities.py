"""What a release asks for: how risky it is, and how it differs from another release.

A delta compares effects, not texts: a new capability, a larger number, another host and a limit that fell away are
escalations; the rest is not. An escalation waits for consent at every site, whatever the update policy says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.capabilities import registry

LEVELS = ("low", "medium", "high")
#: Hooks whose answer can change or stop what the host is about to do.
_BEFORE = "before"
Grants = Mapping[str, Mapping[str, Any]]


def risk(capability: str, quantities: Mapping[str, Any] | None = None) -> str:
    """``low``, ``medium`` or ``high``. One that this server does not know is high; a wildcard host is high."""
    known = registry.get(capability)
    if known is None:
        return "high"
    for value in (quantities or {}).values():
        if isinstance(value, list) and any(isinstance(item, str) and "*" in item for item in value):
            return "high"
    return known.risk_level


def release_risk(manifest: Mapping[str, Any]) -> str:
    """The riskiest thing that a manifest asks for: capabilities, hooks that change content, routes open to all."""
    levels = [risk(name, asked) for name, asked in manifest.get("capabilities", {}).items()]
    if any(hook["name"].partition(":")[2].startswith(_BEFORE) for hook in manifest.get("hooks", [])):
        levels.append("medium")
    if any(route.get("public") for route in manifest.get("routes", [])):
        levels.append("medium")
    return max(levels, key=LEVELS.index, default="low")


def explain(capability: str, quantities: Mapping[str, Any]) -> str:
    """The grant in words, from the capability itself: what a person consents to."""
    known = registry.get(capability)
    return known.explain(quantities) if known else "This server does not know this capability."


def told(grants: Grants) -> list[dict[str, Any]]:
    """What is asked for, for people: name, risk, reason, quantities, and in words what that means."""
    return [
        {
            "name": name,
            "risk": risk(name, asked),
            "reason": asked.get("reason", ""),
            "quantities": {part: value for part, value in asked.items() if part != "reason"},
            "words": explain(name, asked),
        }
        for name, asked in grants.items()
    ]


def delta(before: Grants | None, after: Grants) -> dict[str, Any]:
    """What changes from one set of grants to another.

    Returns:
        ``{"added": [name], "removed": [name], "changed": [{"capability", "quantity", "before", "after",
        "escalates"}], "escalates": bool, "risk": level of what is new}``. ``before=None``: there was nothing.
    """
    old, new = before or {}, after
    added, removed = sorted(set(new) - set(old)), sorted(set(old) - set(new))
    changed = [change for name in sorted(set(new) & set(old)) for change in _changes(name, old[name], new[name])]
    wider = sorted({*added, *(change["capability"] for change in changed if change["escalates"])})
    return {
        "added": added,
        "removed": removed,
        "changed": changed,
        "escalates": bool(wider),
        "risk": max((risk(name, new[name]) for name in wider), key=LEVELS.index, default="low"),
    }


def _changes(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for quantity in sorted((set(old) | set(new)) - {"reason"}):
        before, after = old.get(quantity), new.get(quantity)
        if _canonical(before) != _canonical(after):
            found.append(
                {
                    "capability": name,
                    "quantity": quantity,
                    "before": before,
                    "after": after,
                    "escalates": _escalates(before, after),
                }
            )
    return found


def _escalates(before: Any, after: Any) -> bool:
    """Whether ``after`` allows anything that ``before`` did not. ``None``: no limit was given."""
    if before is None:
        # A list names what is allowed, so a first one allows more; a first number is a limit where there was none.
        return not isinstance(after, int)
    if after is None:
        return not isinstance(before, list)
    if isinstance(before, bool) or isinstance(after, bool):
        return bool(after) and not before
    if isinstance(before, int) and isinstance(after, int):
        return after > before
    if isinstance(before, list) and isinstance(after, list):
        return any(not _covered(item, before) for item in after)
    # Of a shape that nobody declared: more than before, to be safe.
    return True


def _covered(item: Any, allowed: Sequence[Any]) -> bool:
    if item in allowed:
        return True
    if not isinstance(item, str):
        return False
    # ``*.example.com`` covers names below it and not example.com itself.
    return any(isinstance(one, str) and one.startswith("*.") and item.endswith(one[1:]) for one in allowed)


def _canonical(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = sorted(value)
    return json.dumps(value, sort_keys=True)


def summary(change: Mapping[str, Any]) -> list[str]:
    """A delta in short words, ``+ kv``, ``− http``, ``↑ http.hosts``; empty: nothing changes."""
    words = [f"+ {name}" for name in change.get("added", [])]
    words += [f"− {name}" for name in change.get("removed", [])]
    words += [
        f"{'↑' if one['escalates'] else '↓'} {one['capability']}.{one['quantity']}" for one in change.get("changed", [])
    ]
    return words
