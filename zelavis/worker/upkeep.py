"""A worker has no beat: what is kept for a time goes once an hour, after a call, and never while nobody asks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.db import connections

from sandbox import retention

logger = logging.getLogger("zelavis.worker")
EVERY_SECONDS = 3600.0
_lock = threading.Lock()
_last = time.monotonic()


def after_call(*, clock: Callable[[], float] = time.monotonic) -> threading.Thread | None:
    """Start the upkeep in a thread of its own when an hour has passed; the caller's answer does not wait for it."""
    global _last
    with _lock:
        if clock() - _last < EVERY_SECONDS:
            return None
        _last = clock()
    thread = threading.Thread(target=_prune, name="upkeep", daemon=True)
    thread.start()
    return thread


def _prune() -> None:
    try:
        gone = {kind: count for kind, count in retention.prune().items() if count}
        logger.info("upkeep", extra={"gone": gone})
    except Exception:
        # The next hour tries again; calls do not depend on it.
        logger.exception("upkeep failed")
    finally:
        connections.close_all()
