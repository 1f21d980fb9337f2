"""The Celery application. Tasks are found in each app's ``tasks`` module."""

from __future__ import annotations

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "zelavis.settings")
app = Celery("zelavis")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def _show_life(**kwargs: Any) -> None:
    """A worker is seen at once, not only when beat first rings."""
    from django.db import DatabaseError

    from zelavis import heartbeat

    try:
        heartbeat.record("worker")
    except DatabaseError:
        logging.getLogger("zelavis.worker").warning("sign of life not written", exc_info=True)
