"""Inline workflows whose every effect is in the independent log."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from runs.authoring import Context, workflow
from tests.chaos.tenant.effects import effect


def step(context: Context, name: str, seen: list[Any], seconds: float = 0.0) -> Any:
    """A journaled step with one effect. ``seen``: the results of the steps before, as the body has them."""
    return context.step(name, lambda: effect(context.run_id, name, context._held.fence, list(seen), seconds=seconds))


@workflow("chaos-load")
def load(context: Context, given: Any) -> Any:
    """``steps`` of ``seconds`` each, ``events`` waits, a ``sleep``, a ``child``; the output tells all it saw."""
    seen: list[Any] = []
    for number in range(given["steps"]):
        seen.append(step(context, f"step-{number}", seen, given.get("seconds", 0.0)))
    events = [context.wait_for_event("go") for _ in range(given.get("events", 0))]
    if given.get("sleep"):
        context.sleep(given["sleep"])
        seen.append(step(context, "after-sleep", seen))
    child = context.invoke("chaos-child", {"seconds": given.get("seconds", 0.0)}) if given.get("child") else None
    seen.append(step(context, "last", seen))
    return {"steps": seen, "events": events, "child": child}


@workflow("chaos-child")
def child(context: Context, given: Any) -> Any:
    """Two steps."""
    first = step(context, "child-1", [], given.get("seconds", 0.0))
    return [first, step(context, "child-2", [first], given.get("seconds", 0.0))]


@workflow("chaos-together", durability="invocation")
def together(context: Context, given: Any) -> Any:
    """Steps that are committed together, as a tenant over HTTP does."""
    seen: list[Any] = []
    for number in range(given["steps"]):
        seen.append(step(context, f"step-{number}", seen, given.get("seconds", 0.0)))
    return {"steps": seen, "events": [], "child": None}


@workflow("chaos-poison")
def poison(context: Context, given: Any) -> Any:
    """Kills whoever drives it, each time."""
    step(context, "before", [])

    def die() -> None:
        effect(context.run_id, "poison", context._held.fence, [])
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(5)

    return context.step("poison", die)


@workflow("chaos-sleeper")
def sleeper(context: Context, given: Any) -> Any:
    """Sleeps until its alarm, then has one effect."""
    context.sleep(given["sleep"])
    return {"steps": [step(context, "woken", [])], "events": [], "child": None}


@workflow("chaos-deployed")
def deployed(context: Context, given: Any) -> Any:
    """What was deployed last decides about its second step, as a careless change would."""
    seen = [step(context, "one", [])]
    seen.append(step(context, "other" if os.environ.get("CHAOS_VERSION") == "2" else "two", seen))
    context.wait_for_event("go")
    seen.append(step(context, "three", seen))
    return {"steps": seen, "events": [], "child": None}
