"""Celery tasks of the core. Each is a doorbell: it looks into the database and does what is due."""

from __future__ import annotations

from celery import shared_task

from zelavis import heartbeat


@shared_task(name="zelavis.tasks.sign_of_life")
def sign_of_life() -> None:
    """Rung by beat every few seconds: that this runs proves beat, broker and worker together."""
    heartbeat.record("worker")
