"""Activation: record the intent → deploy → activate → record the result → only then does the plugin serve.

Core stores and asks; the adapter decides. Registry, deployment and activation are three states, each attempt is a row
with a timeline, and the version that served before serves on until the new one is active.
"""

from __future__ import annotations

from zelavis.activation.intents import activate, announce, install, promote, retry, rollback, uninstall, update
from zelavis.activation.reconcile import stop, sweep

__all__ = ["activate", "announce", "install", "promote", "retry", "rollback", "stop", "sweep", "uninstall", "update"]
