"""Workflows that can be interrupted. Each step leaves a line in a file of its own, outside of the database."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from runs.authoring import Context, Fatal, workflow


def _work(name: str, seconds: float) -> str:
    with Path(os.environ["STEPS_FILE"]).open("a", encoding="utf-8") as file:
        file.write(f"{name} begins\n")
        file.flush()
        time.sleep(seconds)
        file.write(f"{name} ends\n")
    return name


@workflow("four-steps")
def four_steps(context: Context, given: Any) -> Any:
    """Two quick steps, one that takes its time, and one after it."""
    return [context.step(name, lambda n=name: _work(n, 1.5 if n == "c" else 0.0)) for name in "abcd"]


@workflow("sleeper")
def sleeper(context: Context, given: Any) -> Any:
    """A step, a sleep and a step."""
    first = context.step("before", lambda: _work("before", 0.0))
    context.sleep(2.5)
    return [first, context.step("after", lambda: _work("after", 0.0))]


@workflow("asks")
def asks(context: Context, given: Any) -> Any:
    """Two steps and a question to a person."""
    context.step("read", lambda: given)
    context.step("weigh", lambda: {"weight": 3})
    token = context.token("May this go out?")
    return context.step("send", lambda: token.wait())


@workflow("dies")
def dies(context: Context, given: Any) -> Any:
    """A step that goes well, and one that cannot."""
    context.step("prepare", lambda: 1)
    raise Fatal(f"There is no such order: {given['why']}")
