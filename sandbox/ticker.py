"""The clock that stops calls: a thread that advances the engine's epoch while a call runs.

Elapsed time is turned into ticks, late ones all at once, so that a busy interpreter delays a deadline by one wait for
it and never by a multiple. Without a call the thread sleeps. It does not survive ``fork()``; the runtime makes a new
one in the child (a POSIX timer would be more exact, but deadlocked after a fork).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

TICK_MS = 5
#: The thread keeps ticking this long after the last call, so that a row of calls need not wake it each time.
_LINGER = 0.1


def ticks(milliseconds: float) -> int:
    """Ticks after which at least this much time has passed: one more, for the tick that has begun already."""
    return max(1, -int(-milliseconds // TICK_MS)) + 1


class Ticker:
    """One for each engine; a context manager around each call."""

    def __init__(self, advance: Callable[[], None]) -> None:
        self._advance = advance
        self._active = 0
        self._asleep = False
        self._changed = threading.Condition(threading.Lock())
        self._started = False

    def __enter__(self) -> None:
        with self._changed:
            self._active += 1
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, daemon=True, name="sandbox-ticker").start()
            elif self._asleep:
                self._asleep = False
                self._changed.notify()

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._active -= 1

    def _run(self) -> None:
        step = TICK_MS / 1000
        while True:
            begun = last = time.monotonic()
            done = 0
            while last - begun < _LINGER:
                time.sleep(step)
                now = time.monotonic()
                due = int((now - begun) / step)
                while done < due:
                    self._advance()
                    done += 1
                if self._active:
                    # Counting starts anew now and then, so that the numbers stay small.
                    last = begun = begun + done * step
                    done = 0
                else:
                    last = now
            with self._changed:
                if self._active:
                    continue
                self._asleep = True
                while self._asleep:
                    self._changed.wait()
