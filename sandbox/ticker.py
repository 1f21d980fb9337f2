"""The clock that stops calls: a thread that advances the engine's epoch while a call runs.

Elapsed time is turned into ticks, late ones all at once, so that a busy interpreter delays a deadline by one wait for
it and never by a multiple. A call that begins while ticks are late is told how many, and adds them to its deadline:
else it would pay for time before its own. Without a call the thread sleeps. It does not survive ``fork()``; the runtime
makes a new one in the child (a POSIX timer would be more exact, but deadlocked after a fork).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

TICK_MS = 5
_STEP = TICK_MS / 1000
#: The thread keeps ticking this long after the last call, so that a row of calls need not wake it each time.
_LINGER = 0.1


def ticks(milliseconds: float) -> int:
    """Ticks after which at least this much time has passed: one more, for the tick that has begun already."""
    return max(1, -int(-milliseconds // TICK_MS)) + 1


class Ticker:
    """One for each engine; a context manager around each call, which gives the number of ticks that are late."""

    def __init__(self, advance: Callable[[], None]) -> None:
        self._advance = advance
        self._active = 0
        self._started = False
        self._asleep = True
        #: Ticks are counted from here; both are set anew whenever the thread wakes.
        self._begun = 0.0
        self._done = 0
        # The lock itself where nobody waits: a condition's ``with`` is written in Python and costs twice as much.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def __enter__(self) -> int:
        with self._lock:
            now = time.monotonic()
            if not self._asleep:
                self._active += 1
                return int((now - self._begun) / _STEP) - self._done
            if not self._started:
                # Before anything is counted: where no thread can be had, no call may run, and the next one tries again.
                threading.Thread(target=self._run, daemon=True, name="sandbox-ticker").start()
                self._started = True
            self._active += 1
            self._asleep = False
            self._begun, self._done = now, 0
            self._changed.notify()
            return 0

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._active -= 1

    def _run(self) -> None:
        idle_since: float | None = None
        while True:
            time.sleep(_STEP)
            with self._changed:
                now = time.monotonic()
                due = int((now - self._begun) / _STEP)
                # Under the lock: who enters sees either a late tick or the epoch after it.
                while self._done < due:
                    self._advance()
                    self._done += 1
                if self._active:
                    idle_since = None
                elif idle_since is None:
                    idle_since = now
                elif now - idle_since >= _LINGER:
                    idle_since = None
                    self._asleep = True
                    while self._asleep:
                        self._changed.wait()
