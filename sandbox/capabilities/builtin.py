"""The capabilities that come with the sandbox."""

from __future__ import annotations

import functools

from sandbox.capabilities import registry


@functools.cache
def register_all() -> None:
    """Register each one, once a process."""
    from sandbox.capabilities import crypto, kv, log

    for capability in (kv.Kv(), log.Log(), crypto.Crypto()):
        registry.register(capability)
