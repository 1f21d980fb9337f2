"""``c`` runs in flight: ``c`` threads that each do one run after the other, and the row that comes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks.harness import Row, latencies, resident_mb, summary


def row(name: str, make: Callable[[], Callable[[], Any]], *, threads: int, count: int, warm: int = 10) -> Row:
    """``make()`` is called in each thread and gives what does one run to its end."""
    durations: list[float] = []
    errors: list[BaseException] = []
    ready = threading.Barrier(threads + 1)
    each = max(1, count // threads)

    def work() -> None:
        try:
            one = make()
            for _ in range(max(1, warm // threads)):
                one()
            ready.wait()
            durations.extend(latencies(one, count=each, warm=0))
        except BaseException as error:
            errors.append(error)
            ready.abort()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        ready.wait()
    except threading.BrokenBarrierError:
        raise errors[0] from None
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - started
    if errors:
        raise errors[0]
    return Row(
        name,
        **summary(durations),
        count=len(durations),
        per_second=len(durations) / seconds,
        memory_after=resident_mb(),
        fresh=str(threads),
    )
