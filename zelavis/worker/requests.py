"""The seed's activation request, read strictly; this server's own receiver and the plugin worker share it."""

from __future__ import annotations

from typing import Any

from zelavis.api.parsers import loads

ACTIONS = frozenset({"register", "install", "uninstall", "update"})
INVALID = {"status": "pending", "message": "Invalid Zelavis plugin activation request."}


def parse(body: bytes) -> dict[str, Any] | None:
    """A standard activation request, or ``None`` when it is not one."""
    try:
        value = loads(body)
    except ValueError:
        return None
    valid = (
        isinstance(value, dict)
        and isinstance(value.get("pluginName"), str)
        and bool(value["pluginName"].strip())
        and value.get("action") in ACTIONS
        and isinstance(value.get("registry"), list)
        and (value.get("specifier") is None or isinstance(value["specifier"], str))
    )
    return value if valid else None
