"""Rows of the sandbox: what plugins store (``sandbox.capabilities.models``)."""

from __future__ import annotations

from sandbox.capabilities.models import PluginMeter, PluginUsage, PluginValue

__all__ = ["PluginMeter", "PluginUsage", "PluginValue"]
