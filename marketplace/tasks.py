"""What beat and doorbells have done. A task claims what is due and may run twice."""

from __future__ import annotations

from celery import shared_task

from marketplace import polling, upkeep


@shared_task(name="marketplace.tasks.sweep", ignore_result=True)
def sweep() -> None:
    """Audit releases that were audited under older rules, move staged updates on, drop abandoned uploads."""
    upkeep.run()


@shared_task(name="marketplace.tasks.poll_feeds", ignore_result=True)
def poll_feeds() -> None:
    """Ask the feeds whose time has come."""
    polling.poll()
