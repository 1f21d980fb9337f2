"""What is asked of a plugin: one call, complete in itself.

Clock and randomness of the guest come from here and nowhere else, so a call together with the answers to its host
calls says everything about its outcome.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _seed() -> int:
    return secrets.randbits(64)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One invocation of one hook of one plugin."""

    #: ``inv_…``, unique; primary key of the ledger.
    id: str
    #: The plugin's name; every stored value is kept under it.
    plugin: str
    #: The plugin's version, for the ledger and the guest.
    version: str
    #: ``content:afterSave``, ``route``, ``cron``, ``plugin:activate`` …
    hook: str
    #: The payload: anything JSON can carry.
    event: Any = None
    #: What this call belongs to: a request id, a run id. Shown to operators, never to the guest.
    correlation: str = ""
    #: Who caused it, as the audit log would name them.
    actor: str = ""
    #: The guest's clock, Unix milliseconds; it stands still during the call.
    now_ms: int = field(default_factory=_now_ms)
    #: 64 bits from which the guest's ``Math.random`` is derived.
    seed: int = field(default_factory=_seed)
    #: The plugin's settings at this site; the guest sees them as ``ctx.settings``.
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: Whoever asks may ask again under this id and must learn that it ran: its row is written with its effects, however
    #: few rows the operator wants.
    once: bool = False
    #: How many hooks deep this call is in a chain of hooks that fire hooks; 0 at the top.
    depth: int = 0
