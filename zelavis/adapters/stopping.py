"""Telling a worker elsewhere that calls of a plugin have to end there.

The row says that nobody calls it any more; this reaches for the calls that run already. A worker that does not know
the request says 404 and ends them at their deadlines, and what they answer is not waited for.
"""

from __future__ import annotations

import logging

from zelavis import identifiers
from zelavis.adapters.dispatch import STOP, send
from zelavis.adapters.http import ExchangeFailed
from zelavis.models import DispatchWorker

logger = logging.getLogger("zelavis.adapters")


def tell(worker_id: int, plugin: str, *, digest: str, withdrawn: bool) -> bool:
    """Ask one worker; whether it said that it did."""
    worker = DispatchWorker.objects.select_related("namespace").filter(pk=worker_id).first()
    if worker is None:
        return False
    document = {"name": plugin, "digest": digest, "withdrawn": withdrawn}
    try:
        reply = send(worker, STOP, document, message_id=identifiers.make("stop"), timeout_ms=2_000)
    except ExchangeFailed as error:
        logger.warning("worker not told to stop", extra={"plugin": plugin, "worker": str(worker), "code": error.code})
        return False
    if reply.status != 200:
        logger.warning(
            "worker did not stop", extra={"plugin": plugin, "worker": str(worker), "http_status": reply.status}
        )
    return reply.status == 200
