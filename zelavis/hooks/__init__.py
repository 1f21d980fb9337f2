"""Hooks: the catalogue (``HOOKS``), ``fire`` for an answer now, ``enqueue`` for an event on commit."""

from __future__ import annotations

from zelavis.hooks.catalogue import HOOKS, Hook, Moment
from zelavis.hooks.events import enqueue
from zelavis.hooks.firing import FireResult, HookOutcome, Rejection, fire

__all__ = ["HOOKS", "FireResult", "Hook", "HookOutcome", "Moment", "Rejection", "enqueue", "fire"]
