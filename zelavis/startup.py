"""What the core tells the other parts of itself when the process starts; called once from ``AppConfig.ready``."""

from __future__ import annotations

from django.db.models.signals import post_migrate

from zelavis import roles, wakeups
from zelavis.activation import reconcile
from zelavis.hooks import events
from zelavis.hooks.sources import models as content
from zelavis.hooks.sources import schedules


def connect() -> None:
    """Bind content models to hooks, keep the roles current, and tell beat what waits for a time."""
    post_migrate.connect(roles.synchronize, dispatch_uid="zelavis.roles")
    content.connect()
    wakeups.SOURCES.extend(
        (
            wakeups.WakeSource(
                name="activations",
                task="zelavis.tasks.sweep_activations",
                seconds_until_next=reconcile.seconds_until_next,
            ),
            wakeups.WakeSource(
                name="hook events", task="zelavis.tasks.sweep_hooks", seconds_until_next=events.seconds_until_next
            ),
            wakeups.WakeSource(
                name="plugin schedules",
                task="zelavis.tasks.tick_schedules",
                seconds_until_next=schedules.seconds_until_next,
            ),
        )
    )
