"""The inline workflows of this server: functions found in each app's ``workflows`` module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

_known: dict[str, Workflow] = {}


@dataclass(frozen=True)
class Workflow:
    """A function ``(context, input) → output``."""

    name: str
    function: Callable[..., Any]
    version: str
    #: ``step``: each finished step is committed at once. ``invocation``: all of an invocation together, which is
    #: faster and runs them all again when the process dies in the middle.
    durability: Literal["step", "invocation"]
    description: str

    def __call__(self, context: Any, given: Any) -> Any:
        """So that a decorated function can still be called in a test."""
        return self.function(context, given)


def workflow(
    name: str, *, version: str = "v1", durability: Literal["step", "invocation"] = "step"
) -> Callable[[Callable[..., Any]], Workflow]:
    """Register a function as a workflow. A name belongs to one function."""

    def register(function: Callable[..., Any]) -> Workflow:
        before = _known.get(name)
        if before is not None and before.function.__qualname__ != function.__qualname__:
            raise ValueError(f"two workflows are named {name!r}")
        made = Workflow(name, function, version, durability, (function.__doc__ or "").strip())
        _known[name] = made
        return made

    return register


def get(name: str) -> Workflow | None:
    """The workflow of this name."""
    return _known.get(name)


def every() -> list[Workflow]:
    """All of them, by name."""
    return [_known[name] for name in sorted(_known)]
