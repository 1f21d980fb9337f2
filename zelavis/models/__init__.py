"""Rows of the core. Each module holds one subject; everything is imported from here."""

from __future__ import annotations

from zelavis.models.activation import Activation, ActivationEvent
from zelavis.models.dispatch import DispatchNamespace, DispatchWorker, HostedPlugin
from zelavis.models.hooks import CircuitBreaker, HookEvent, Schedule
from zelavis.models.platform import ApiToken, AuditEvent, Heartbeat, IdempotencyKey
from zelavis.models.registry import Deployment, PluginEntry, Registry

__all__ = [
    "Activation",
    "ActivationEvent",
    "ApiToken",
    "AuditEvent",
    "CircuitBreaker",
    "Deployment",
    "DispatchNamespace",
    "DispatchWorker",
    "Heartbeat",
    "HookEvent",
    "HostedPlugin",
    "IdempotencyKey",
    "PluginEntry",
    "Registry",
    "Schedule",
]
