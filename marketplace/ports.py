"""What the marketplace says upwards and asks upwards. Filled by the core in ``AppConfig.ready``; empty without it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

logger = logging.getLogger("zelavis.marketplace")


@dataclass(frozen=True, kw_only=True)
class StateChange:
    """A release that may not serve any more, or may again."""

    plugin: str
    version: str
    digest: str
    #: ``quarantine``, ``yank``, ``remove``, ``restore``.
    action: str
    reason: str
    actor: str


class MakeToken(Protocol):
    """Makes an API token; answers its public prefix and its secret form."""

    def __call__(self, *, name: str, scopes: list[str], owner: Any, expires_at: datetime) -> tuple[str, str]: ...


#: Called inside the transaction of the change: write rows and ring bells, call nobody. An exception undoes the change.
STATE_LISTENERS: list[Callable[[StateChange], None]] = []
#: Called inside the transaction that moved a staged update to another share or ended it, with the id of its row.
ROLLOUT_LISTENERS: list[Callable[[int], None]] = []
#: Names of the hooks of the catalogue; several sources are joined.
HOOK_NAMES: list[Callable[[], frozenset[str]]] = []
#: At most one of each: API tokens belong to the core.
MAKE_TOKEN: list[MakeToken] = []
REVOKE_TOKEN: list[Callable[[str], None]] = []
#: This product's version, for ``compatibility``.
HOST_VERSION: list[Callable[[], str]] = []


def hook_names() -> frozenset[str]:
    """Every hook of the host, or nothing when no core is there to ask."""
    return frozenset().union(*(names() for names in HOOK_NAMES))


def host_version() -> str:
    """Version of this Zelavis."""
    if HOST_VERSION:
        return HOST_VERSION[0]()
    import zelavis

    return zelavis.__version__


def tell_rollout(rollout_id: int) -> None:
    """Tell the listeners of staged updates."""
    for listener in ROLLOUT_LISTENERS:
        listener(rollout_id)


def tell(change: StateChange) -> None:
    """Tell the listeners."""
    for listener in STATE_LISTENERS:
        listener(change)
