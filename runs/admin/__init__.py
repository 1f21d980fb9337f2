"""The admin of durable runs."""

from __future__ import annotations

from runs.admin import dispatchers, manifests, runs

__all__ = ["dispatchers", "manifests", "runs"]
