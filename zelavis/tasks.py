"""Celery tasks of the core. A task looks into the database and does what it finds there."""

from __future__ import annotations

from celery import shared_task

from sandbox import retention
from sandbox.capabilities import outbox
from zelavis import activation, audit_chain, heartbeat
from zelavis.activation import automatic
from zelavis.adapters import stopping
from zelavis.hooks import events
from zelavis.hooks.sources import schedules


@shared_task(name="zelavis.tasks.deliver_hook")
def deliver_hook(event_id: str) -> None:
    """The bell of one hook event."""
    events.deliver(event_id)


@shared_task(name="zelavis.tasks.sweep_hooks")
def sweep_hooks() -> None:
    """Hook events that are due and that nobody delivers."""
    events.sweep()


@shared_task(name="zelavis.tasks.sweep_activations")
def sweep_activations() -> None:
    """Polls of pending activations, and attempts whose process died."""
    activation.sweep()


@shared_task(name="zelavis.tasks.stop_at_worker")
def stop_at_worker(worker: str, plugin: str, digest: str, withdrawn: str) -> None:
    """Calls that run in a worker elsewhere and have to end."""
    stopping.tell(int(worker), plugin, digest=digest, withdrawn=withdrawn == "withdrawn")


@shared_task(name="zelavis.tasks.update_plugins")
def update_plugins() -> None:
    """Plugins that may update themselves."""
    automatic.sweep()


@shared_task(name="zelavis.tasks.tick_schedules")
def tick_schedules() -> None:
    """Schedules whose time came."""
    schedules.tick()


@shared_task(name="zelavis.tasks.sign_of_life")
def sign_of_life() -> None:
    """Rung by beat every few seconds: that this runs proves beat, broker and worker together."""
    heartbeat.record("worker")


@shared_task(name="zelavis.tasks.seal_audit")
def seal_audit() -> None:
    """Rows of the audit log that are not in its chain yet."""
    audit_chain.seal()


@shared_task(name="zelavis.tasks.wake_plugins")
def wake_plugins() -> None:
    """Times that plugins set for themselves and that came."""
    schedules.wake()


@shared_task(name="zelavis.tasks.send_mail")
def send_mail() -> None:
    """Mail of plugins that is due."""
    outbox.send_due()


@shared_task(name="zelavis.tasks.prune_sandbox")
def prune_sandbox() -> None:
    """Rung hourly by beat: ledger rows, tapes, counts and expired values whose time is over."""
    retention.prune()
