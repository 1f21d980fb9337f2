"""Sending a stream while it is made: whoever follows the run sees each piece within a fraction of a second.

The first piece is committed at once, the others when the last commit is ``_GAP_SECONDS`` old, so that a fast producer
pays one commit for many. What is left over while the producer takes its time, a thread commits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from django.db import connection

from runs import clock, commits
from runs.held import Held

_GAP_SECONDS = 0.05
#: Pieces in one commit at most.
_MOST = 200

Guard = Callable[[], AbstractContextManager[None]]


def chunk(stream_id: str, seq: int, encoding: str, item: Any, *, final: bool) -> dict[str, Any]:
    """A piece as on the wire."""
    return {
        "streamId": stream_id,
        "seq": seq,
        "encoding": encoding,
        "chunk": item,
        "final": final,
        "at": clock.now_ms(),
    }


class Sender:
    """Sends one stream. A stream that was cut off earlier begins anew: its earlier pieces are replaced."""

    def __init__(self, held: Held, stream_id: str, encoding: str, guard: Guard) -> None:
        """Commits happen inside ``guard()``."""
        self._held = held
        self._guard = guard
        self._stream_id = stream_id
        self._encoding = encoding
        self._seq = 0
        self._kept: list[dict[str, Any]] = []
        self._begun = False
        self._sent_at = float("-inf")
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._ended = False
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def send(self, items: Iterable[Any]) -> dict[str, Any]:
        """All of it; gives the journal's entry. When ``items`` raises, what came before it ends with a final piece."""
        try:
            for item in items:
                self._add(item, final=False)
        except Exception:
            self._end(None)
            raise
        finally:
            self._stop()
        done = {"chunkCount": self._seq + 1}
        self._end(done)
        return done

    def _add(self, item: Any, *, final: bool) -> None:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._seq += 1
            self._kept.append(chunk(self._stream_id, self._seq, self._encoding, item, final=final))
            if time.monotonic() - self._sent_at >= _GAP_SECONDS or len(self._kept) >= _MOST:
                self._commit(None)
            elif self._thread is None and not connection.in_atomic_block:
                self._thread = threading.Thread(target=self._follow, name="runs-stream", daemon=True)
                self._thread.start()

    def _end(self, done: dict[str, Any] | None) -> None:
        self._stop()
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._kept.append(chunk(self._stream_id, self._seq + 1, self._encoding, None, final=True))
            self._commit(done)

    def _commit(self, done: dict[str, Any] | None) -> None:
        pieces, self._kept = self._kept, []
        with self._guard():
            commits.stream(self._held, self._stream_id, done, pieces, afresh=not self._begun)
        self._begun, self._sent_at = True, time.monotonic()

    def _stop(self) -> None:
        with self._lock:
            self._ended = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _follow(self) -> None:
        """Commit what the producer left over."""
        try:
            with self._lock:
                while not self._ended:
                    left = self._sent_at + _GAP_SECONDS - time.monotonic()
                    if self._kept and left <= 0:
                        self._commit(None)
                    self._wake.wait(max(left, 0.001) if self._kept else _GAP_SECONDS)
        except BaseException as error:  # noqa: BLE001  told to the body's thread, which ends with it
            self._failure = error
        finally:
            connection.close()
