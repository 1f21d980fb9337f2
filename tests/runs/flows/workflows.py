"""Workflows whose effects can be counted without trusting the journal."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runs.authoring import Context, Fatal, workflow


def ran(context: Context, what: str) -> str:
    """Append one line to the log: something ran for real."""
    path = os.environ.get("FLOWS_LOG")
    if path:
        line = json.dumps({"run": context.run_id, "what": what, "at": time.time(), "pid": os.getpid()})
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    return what


@workflow("flow-slow")
def slow(context: Context, given: Any) -> Any:
    """Three steps; the second takes ``seconds``."""
    context.step("first", lambda: ran(context, "first"))

    def work() -> str:
        ran(context, "second-begins")
        time.sleep(given["seconds"])
        return ran(context, "second")

    context.step("second", work)
    return context.step("third", lambda: ran(context, "third"))


@workflow("flow-sleeps")
def sleeps(context: Context, given: Any) -> Any:
    """A step, a sleep, a step."""
    context.step("before", lambda: ran(context, "before"))
    context.sleep(given["seconds"])
    return context.step("after", lambda: ran(context, "after"))


@workflow("flow-twelve")
def twelve(context: Context, given: Any) -> Any:
    """Twelve steps with short sleeps between them."""
    for number in range(1, 13):
        context.step(f"step-{number}", lambda number=number: ran(context, f"step-{number}"))
        if number % 4 == 0:
            context.sleep(0.01)
    return 12


@workflow("flow-poison")
def poison(context: Context, given: Any) -> Any:
    """Ends the process of whoever drives it."""
    context.step("before", lambda: ran(context, "before"))
    context.step("poison", lambda: os._exit(137))


@workflow("flow-fails")
def fails(context: Context, given: Any) -> Any:
    """Fails for good."""
    context.step("bad", lambda: (_ for _ in ()).throw(Fatal("told to")))


@workflow("flow-streams")
def streams(context: Context, given: Any) -> Any:
    """Two pieces at once, a pause, two more …; each says when it was made."""

    def pieces() -> Iterator[dict[str, float]]:
        for _ in range(given["pieces"]):
            yield {"at": time.time()}
            yield {"at": time.time()}
            time.sleep(given["seconds"])

    context.stream("live", pieces())
