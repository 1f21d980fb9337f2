"""Writing workflows in Python.

A workflow is a function of a :class:`Context` and its input. Everything that has an effect goes through the context;
whatever the context gave once, it gives again on every replay, so the function may be started from the top at any
time and arrives where it was.
"""

from __future__ import annotations

from runs.authoring.context import Context
from runs.authoring.failures import ChildFailed, Fatal, Retryable, StepFailed, WaitTimeout
from runs.authoring.steps import Retries
from runs.authoring.waits import Token, Waitable
from runs.registry import Workflow, workflow

__all__ = [
    "ChildFailed",
    "Context",
    "Fatal",
    "Retries",
    "Retryable",
    "StepFailed",
    "Token",
    "WaitTimeout",
    "Waitable",
    "Workflow",
    "workflow",
]
