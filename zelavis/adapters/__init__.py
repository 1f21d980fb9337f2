"""Adapters by name. ``AppConfig.ready`` of any app may add its own."""

from __future__ import annotations

from zelavis.adapters.base import Adapter
from zelavis.adapters.cloudflare import CloudflareAdapter
from zelavis.adapters.dispatch import DispatchAdapter
from zelavis.adapters.sandbox import SandboxAdapter
from zelavis.errors import UnknownAdapter

REGISTRY: dict[str, Adapter] = {
    adapter.name: adapter for adapter in (SandboxAdapter(), DispatchAdapter(), CloudflareAdapter())
}


def get(name: str) -> Adapter:
    """The adapter of this name.

    Raises:
        UnknownAdapter: none; the message names those there are.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise UnknownAdapter(f"There is no adapter {name[:40]!r}. Adapters: {', '.join(REGISTRY)}.") from None
