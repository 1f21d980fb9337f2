"""PostgreSQL with a health check that asks the kernel instead of the server.

Django sends ``SELECT 1`` before the first statement of each request on a kept connection; with a request of three
statements that is a fourth. A server that ends a connection, or goes away, says so: its message and the end of the
stream wait in the socket. So a silent socket is believed, and only one with news is asked.
"""

from __future__ import annotations

import select
from typing import Any

from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus


class DatabaseWrapper(base.DatabaseWrapper):
    """See the module."""

    def is_usable(self) -> bool:
        """Whether the kept connection can be used; it is replaced otherwise."""
        own: Any = self.connection
        if own is None or own.closed or own.info.transaction_status != TransactionStatus.IDLE or _has_news(own):
            return bool(super().is_usable())
        return True


def _has_news(own: Any) -> bool:
    """Whether something waits to be read, the end of the stream included."""
    look = select.poll()
    look.register(own.fileno(), select.POLLIN | select.POLLPRI)
    return bool(look.poll(0))
