"""What the core tells the other parts of itself when the process starts; called once from ``AppConfig.ready``."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django.db.models.signals import post_migrate

from marketplace import ports
from sandbox import interrupts, tape
from sandbox.capabilities import outbox
from sandbox.capabilities import registry as capabilities
from sandbox.capabilities.content import SOURCES
from zelavis import carry, doorbell, killswitch, metrics, revocations, roles, tokens, wakeups
from zelavis.activation import automatic, reconcile, stages
from zelavis.hooks import HOOKS, events
from zelavis.hooks.sources import models as content
from zelavis.hooks.sources import schedules
from zelavis.hooks.sources.content import ModelSource
from zelavis.models import ApiToken


def connect() -> None:
    """Bind content models to hooks, keep the roles current, and tell beat what waits for a time."""
    post_migrate.connect(roles.synchronize, dispatch_uid="zelavis.roles")
    content.connect()
    capabilities.REVOCATIONS.append(revocations.taken)
    interrupts.WATCHES.append(killswitch.must_end)
    tape.HIDDEN_SETTINGS.append(carry.hidden_of)
    capabilities.AFTER_COMMIT["email"].append(partial(doorbell.ring, "zelavis.tasks.send_mail"))
    for binding in content.BINDINGS.values():
        SOURCES[binding.collection] = ModelSource(binding)
    metrics.SOURCES.append(metrics.core)
    ports.HOOK_NAMES.append(lambda: frozenset(HOOKS))
    ports.STATE_LISTENERS.append(_release_changed)
    ports.ROLLOUT_LISTENERS.append(stages.changed)
    ports.MAKE_TOKEN.append(_make_token)
    ports.REVOKE_TOKEN.append(_revoke_token)
    wakeups.SOURCES.extend(
        (
            wakeups.WakeSource(
                name="activations",
                task="zelavis.tasks.sweep_activations",
                seconds_until_next=reconcile.seconds_until_next,
            ),
            wakeups.WakeSource(
                name="automatic updates",
                task="zelavis.tasks.update_plugins",
                seconds_until_next=automatic.seconds_until_next,
            ),
            wakeups.WakeSource(
                name="hook events", task="zelavis.tasks.sweep_hooks", seconds_until_next=events.seconds_until_next
            ),
            wakeups.WakeSource(
                name="plugin schedules",
                task="zelavis.tasks.tick_schedules",
                seconds_until_next=schedules.seconds_until_next,
            ),
            wakeups.WakeSource(
                name="wake times of plugins",
                task="zelavis.tasks.wake_plugins",
                seconds_until_next=outbox.seconds_until_next_wake,
            ),
            wakeups.WakeSource(
                name="mail of plugins",
                task="zelavis.tasks.send_mail",
                seconds_until_next=outbox.seconds_until_next_mail,
            ),
        )
    )


def _release_changed(change: ports.StateChange) -> None:
    """A withdrawn release stops at once; a yanked one stays where it is installed."""
    if change.action in ("quarantine", "remove"):
        reconcile.stop(
            change.plugin,
            digests={change.digest},
            reason=f"{change.version} was withdrawn ({change.action}): {change.reason}",
            actor=change.actor,
        )


def _make_token(*, name: str, scopes: list[str], owner: Any, expires_at: datetime) -> tuple[str, str]:
    token, secret = tokens.create(name, scopes, owner=owner, expires_at=expires_at)
    return token.prefix, secret


def _revoke_token(prefix: str) -> None:
    token = ApiToken.objects.filter(prefix=prefix).first()
    if token is not None:
        tokens.revoke(token)
