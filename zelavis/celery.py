"""The Celery application. Tasks are found in each app's ``tasks`` module."""

from __future__ import annotations

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "zelavis.settings")
app = Celery("zelavis")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def _outlive_the_broker(**kwargs: Any) -> None:
    """Let what is sent over a channel that is closed be a lost connection, which the worker then makes anew.

    With Redis gone kombu 5.7 takes messages back, and acknowledges them, over channels without a connection: an
    ``AttributeError``, of which the worker ends.
    """
    if not app.conf.broker_url.startswith("redis"):
        return
    from kombu.transport import redis
    from redis.exceptions import ConnectionError as Lost

    channel: Any = redis.Channel
    parameters = channel._connparams

    def connected(self: Any, *args: Any, **options: Any) -> Any:
        if self.connection is None or self.connection.client is None:
            raise Lost("the channel is closed")
        return parameters(self, *args, **options)

    channel._connparams = connected


@worker_ready.connect
def _show_life(**kwargs: Any) -> None:
    """A worker is seen at once, not only when beat first rings."""
    from django.db import DatabaseError

    from zelavis import heartbeat

    try:
        heartbeat.record("worker")
    except DatabaseError:
        logging.getLogger("zelavis.worker").warning("sign of life not written", exc_info=True)
