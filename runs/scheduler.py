"""Beat's scheduler: the static jobs of the admin, and waking for the earliest row of every wake source.

It sleeps until the earliest wake time that any app knows of and then rings that app's task. Several beats at once
are safe: a bell only says "look", and looking claims.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections
from django_celery_beat.schedulers import DatabaseScheduler

from zelavis import doorbell, heartbeat, wakeups

logger = logging.getLogger("runs.scheduler")
#: Longest sleep: how late a row can be noticed that another process made due sooner than anything known.
CAP_SECONDS = 0.2
#: An overdue source is rung again after so long: workers may be busy, or a bell lost.
RING_AGAIN_SECONDS = 0.25
_HEARTBEAT_SECONDS = 5.0
_STATIC_SECONDS = 1.0


class AlarmScheduler(DatabaseScheduler):  # type: ignore[misc]  # the base class has no types
    """See the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._rung: dict[str, float] = {}
        self._beaten = float("-inf")
        self._static_at = float("-inf")
        self._static_delay = 0.0
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One look at everything; returns the seconds to sleep. A database error is reported and survived."""
        try:
            # The static jobs have a resolution of a second; their tick costs more than ours.
            if time.monotonic() - self._static_at >= min(self._static_delay, _STATIC_SECONDS):
                self._static_delay = super().tick(*args, **kwargs)
                self._static_at = time.monotonic()
            self._beat()
            return min([self._static_delay, CAP_SECONDS, *self._ring()])
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the database did not answer beat", extra={"reason": str(error)})
            close_old_connections()
            return 1.0

    def _ring(self) -> list[float]:
        """Ring every source that is due; for the others, the seconds they leave."""
        left = []
        for source in wakeups.SOURCES:
            try:
                seconds = source.seconds_until_next()
            except (DatabaseError, InterfaceError):
                raise
            except Exception:
                # One app's fault must not silence the alarms of the others.
                logger.exception("wake source failed", extra={"source": source.name})
                continue
            if seconds is None:
                continue
            if seconds > 0:
                left.append(seconds)
                continue
            now = time.monotonic()
            if now - self._rung.get(source.name, float("-inf")) >= RING_AGAIN_SECONDS:
                self._rung[source.name] = now
                doorbell.ring(source.task)
            left.append(RING_AGAIN_SECONDS)
        return left

    def _beat(self) -> None:
        if time.monotonic() - self._beaten >= _HEARTBEAT_SECONDS:
            self._beaten = time.monotonic()
            heartbeat.record("beat")
            close_old_connections()
