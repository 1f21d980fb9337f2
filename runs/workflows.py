"""The workflow of the tutorial."""

from __future__ import annotations

from typing import Any

from runs.authoring import Context, workflow


@workflow("greet")
def greet(context: Context, given: Any) -> Any:
    """Prepare, sleep for two seconds, wait for an event ``greet``, and greet whoever it names."""
    name = given.get("name", "world") if isinstance(given, dict) else "world"
    prepared = context.step("prepare", lambda: {"greeting": f"Hello, {name}"})
    context.sleep(2)
    event = context.wait_for_event("greet")
    sender = event.get("from", "somebody") if isinstance(event, dict) else "somebody"
    return context.step("greet", lambda: {"text": f"{prepared['greeting']}! Greetings from {sender}."})
