"""What a command does at the moment, on standard error, when it takes longer than a second."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

#: Seconds until the first line, and between two.
EVERY = 1.0


@contextlib.contextmanager
def working(stream: Any, what: str, *, every: float = EVERY) -> Iterator[Callable[[int], None]]:
    """While this lasts, a line each second tells what is done and for how long; none when it is over sooner.

    What it gives takes the number of steps that are done, which the lines then tell.
    """
    over = threading.Event()
    began = time.monotonic()
    done = [0]

    def tell() -> None:
        while not over.wait(every):
            steps = f", {done[0]:,} done" if done[0] else ""
            stream.write(f"{what} ({time.monotonic() - began:.0f} s{steps}) …")
            stream.flush()

    def tick(number: int) -> None:
        done[0] = number

    teller = threading.Thread(target=tell, daemon=True, name="progress")
    teller.start()
    try:
        yield tick
    finally:
        over.set()
        teller.join()
