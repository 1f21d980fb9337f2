"""The admin of durable runs."""

from __future__ import annotations

from runs.admin import dispatchers, runs

__all__ = ["dispatchers", "runs"]
