"""Plugins of the registry made by hand, and an adapter whose answers a test writes down beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from zelavis import identifiers, registry
from zelavis.active import ActiveEntry
from zelavis.adapters.base import Answer, Call, CallOutcome, Capabilities, Order
from zelavis.models import Deployment, PluginEntry


class ScriptedAdapter:
    """Says what it was told to say, and remembers what it was asked."""

    name = "scripted"
    title = "Scripted"
    needs_worker = False
    capabilities = Capabilities(
        strategy="isolate-per-call",
        supports_runtime_install=True,
        supports_uploaded_specifiers=True,
        supports_package_uploads=True,
        supports_isolated_execution=False,
        description="For tests.",
    )

    def __init__(self) -> None:
        self.deploys: list[Order] = []
        self.orders: list[Order] = []
        self.calls: list[tuple[str, Call]] = []
        self.on_deploy: Callable[[Order], None] = lambda order: None
        self.on_activate: Callable[[Order], Answer] = lambda order: Answer(status="active")
        self.on_call: Callable[[ActiveEntry, Call], CallOutcome] = lambda entry, call: CallOutcome(status="ok")

    def missing(self) -> str:
        return ""

    def deploy(self, order: Order) -> None:
        self.deploys.append(order)
        self.on_deploy(order)

    def activate(self, order: Order) -> Answer:
        self.orders.append(order)
        return self.on_activate(order)

    def call(self, entry: ActiveEntry, call: Call) -> CallOutcome:
        self.calls.append((entry.name, call))
        return self.on_call(entry, call)


def manifest(
    name: str,
    *,
    version: str = "1.0.0",
    hooks: list[Any] | None = None,
    capabilities: dict[str, Any] | None = None,
    **members: Any,
) -> dict[str, Any]:
    """A manifest's text-to-be; hooks by name or as objects."""
    return {
        "manifestVersion": 1,
        "name": name,
        "version": version,
        "hooks": [{"name": hook} if isinstance(hook, str) else hook for hook in hooks or []],
        "routes": [],
        "schedules": [],
        "capabilities": capabilities or {},
        **members,
    }


def serve(name: str, *, adapter: str = "scripted", order: int | None = None, **declared: Any) -> PluginEntry:
    """A plugin that serves, as a finished activation leaves it."""
    document = manifest(name, **declared)
    now = timezone.now()

    def mutate() -> PluginEntry:
        entry = PluginEntry.objects.create(name=name, adapter=adapter, order=order, status="installed")
        deployment = Deployment.objects.create(
            id=identifiers.make("dep"),
            entry=entry,
            adapter=adapter,
            version=document["version"],
            digest="0" * 64,
            entry_digest="0" * 64,
            kind="javascript",
            manifest=json.dumps(document),
            grants=json.dumps(document["capabilities"]),
            state="deployed",
            proven_by="act_test",
            created_at=now,
            deployed_at=now,
        )
        registry.touch(entry, serving=deployment, activation_state="active", deployment_state="deployed")
        return entry

    return registry.change(mutate)
