"""Runs that one thread of a worker claimed together and drives one after the other.

Taking up a run is six round trips to PostgreSQL and a commit; for sixteen at once it is hardly more. What waits for its
drive must not wait for a slow tenant: a batch is as large as what is driven in a moment, going by the run before, and
what is left of it after a little longer goes back to the others.
"""

from __future__ import annotations

import logging
import threading
from collections import deque

from django.db import DatabaseError, InterfaceError, connection

from runs import commits, leases
from runs.held import Held
from zelavis import doorbell

logger = logging.getLogger("runs.batches")
#: Most runs claimed together.
MOST = 16
#: So long a batch should take, going by the drive before it.
_WORTH_SECONDS = 0.05
#: What has not been begun after so long is given back.
PATIENCE_SECONDS = 0.25


class Batch:
    """The claims of one call of :func:`runs.alarms.work`."""

    def __init__(self) -> None:
        self._rest: deque[Held] = deque()
        self._size = 1
        self._timer: threading.Timer | None = None

    def next(self) -> Held | None:
        """The next run to drive: of those claimed before, or newly claimed; ``None``: nothing is due."""
        try:
            return self._rest.popleft()
        except IndexError:
            self._stop()
        held = None
        if self._size > 1:
            self._rest.extend(leases.claim_several(self._size))
            held = self._rest.popleft() if self._rest else None
        if self._rest:
            self._timer = threading.Timer(PATIENCE_SECONDS, self._out_of_patience)
            self._timer.daemon = True
            self._timer.start()
        return leases.claim_next() if held is None else held

    def driven(self, seconds: float) -> None:
        """The last run took so long: claim more together, or fewer."""
        self._size = max(1, min(MOST, 2 * self._size, int(_WORTH_SECONDS / max(seconds, 0.0001))))

    @property
    def empty(self) -> bool:
        """Whether nothing claimed is left to drive."""
        return not self._rest

    def close(self) -> None:
        """Give back what is left: the thread that claimed it does not go on."""
        self._stop()
        self._give_back()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _out_of_patience(self) -> None:
        """In a thread of its own: the one that claimed them is busy with the run before."""
        try:
            self._give_back()
        finally:
            connection.close()

    def _give_back(self) -> None:
        rest: list[Held] = []
        while self._rest:
            try:
                rest.append(self._rest.popleft())
            except IndexError:  # another thread took the last one
                break
        if not rest:
            return
        try:
            # One transaction each: who locks several runs at once locks them in the order of their families.
            for held in rest:
                commits.give_back(held)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("claims left to the end of their lease", extra={"runs": len(rest), "reason": str(error)})
            for held in rest:
                leases.let_go(held)
            return
        doorbell.ring("runs.tasks.work")
