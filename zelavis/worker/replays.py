"""The same request twice is one: requests under one id wait for each other, and final answers are kept for a while.

A request that somebody recorded and sends again is answered with what was answered then and changes nothing. What was
signed before this process started may have been answered by the one before it, whose memory is gone: it is refused
with 503, and a caller that means it signs anew.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from zelavis.signing import TOLERANCE_SECONDS

#: Longer than a signature is good for.
KEEP_SECONDS = 2 * TOLERANCE_SECONDS
KEEP_ANSWERS = 4096

Answer = tuple[int, Mapping[str, Any]]


class Answers:
    """What was answered to whom, and who is being answered now."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._busy: dict[str, tuple[threading.Lock, int]] = {}
        self._kept: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self._started = int(clock())

    def forgotten(self, timestamp: int) -> bool:
        """Whether a message of this time may have been answered before this process started."""
        return timestamp < self._started

    def once(self, key: str, work: Callable[[], Answer], *, final: Callable[[Answer], bool]) -> Answer:
        """The answer kept for ``key``, else that of ``work``, which is kept when it is ``final``."""
        with self._alone(key):
            with self._lock:
                found = self._kept.get(key)
            if found is not None and found[0] > self._clock():
                return found[1]
            answer = work()
            if final(answer):
                with self._lock:
                    self._kept[key] = self._clock() + KEEP_SECONDS, answer
                    while len(self._kept) > KEEP_ANSWERS:
                        self._kept.popitem(last=False)
            return answer

    @contextlib.contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        with self._lock:
            lock, waiting = self._busy.get(key, (threading.Lock(), 0))
            self._busy[key] = lock, waiting + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, waiting = self._busy[key]
                if waiting == 1:
                    del self._busy[key]
                else:
                    self._busy[key] = lock, waiting - 1
