"""After-hooks on their way: committed with what they tell of, rung for, swept up when the bell was not heard."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from zelavis import doorbell, identifiers, ledger, querysets, registry
from zelavis.errors import RegistryMalformed, ZelavisError
from zelavis.hooks import chain
from zelavis.hooks.catalogue import HOOKS
from zelavis.hooks.firing import FireResult, HookOutcome, call_id, check, find, fire
from zelavis.models import HookEvent

logger = logging.getLogger("zelavis.hooks")
#: Beyond the hook's budget: how long a delivery may take before another worker takes it up.
LEASE = timedelta(seconds=60)
#: Times an event is taken up; listeners that could not be reached until then are left out.
PASSES = 8
BATCH = 50
#: How long finished events are kept.
KEEP = timedelta(days=7)
#: Ends after which a listener is asked again in the next pass.
_AGAIN = frozenset({"unreachable", "busy", "resting"})


def enqueue(
    hook: str,
    payload: Mapping[str, Any],
    *,
    source: str,
    actor: str = "",
    plugin: str = "",
    correlation: str = "",
    depth: int | None = None,
    now: datetime | None = None,
) -> HookEvent | None:
    """Record an event in the caller's transaction and ring for a worker; ``None`` when nobody listens.

    An event from a chain that passed through too many plugins is recorded as dropped, for people to see.
    """
    if not _listened_to(hook, plugin):
        return None
    check(find(hook), payload)
    moment = now or timezone.now()
    here = chain.current()
    correlation = correlation or here.correlation
    depth = here.depth if depth is None else depth
    looping = depth > chain.MAX_DEPTH or (
        depth > 0 and HookEvent.objects.filter(correlation=correlation).count() >= chain.MAX_EVENTS
    )
    event = HookEvent.objects.create(
        id=identifiers.make("evt"),
        hook=hook,
        payload=json.dumps(payload, ensure_ascii=False),
        plugin=plugin,
        source=source,
        actor=actor or chain.actor(),
        correlation=correlation,
        depth=depth,
        state=HookEvent.State.DROPPED if looping else HookEvent.State.WAITING,
        wake_at=None if looping else moment,
        outcomes=json.dumps([{"plugin": plugin, "status": "loop", "message": "Plugins set each other off."}])
        if looping
        else "[]",
        created_at=moment,
        finished_at=moment if looping else None,
    )
    if looping:
        logger.warning("hook chain cut", extra={"hook": hook, "correlation": correlation, "depth": depth})
    else:
        doorbell.ring("zelavis.tasks.deliver_hook", event.pk)
    return event


def _listened_to(hook: str, plugin: str) -> bool:
    try:
        return any(not plugin or entry.name == plugin for entry in registry.active_for_hook(hook))
    except RegistryMalformed:
        # Who listens cannot be known: the event is kept and waits until it can be. What happened has happened.
        logger.exception("event kept for a registry that cannot be read", extra={"hook": hook})
        return True


def deliver(event_id: str, *, now: datetime | None = None) -> FireResult | None:
    """Deliver one event if it is due; ``None`` when another process has it or had it."""
    moment = now or timezone.now()
    seen = HookEvent.objects.filter(pk=event_id, wake_at__lte=moment).first()
    if seen is None:
        return None
    hook = HOOKS.get(seen.hook)
    lease = LEASE + timedelta(milliseconds=hook.budget_ms if hook else 0)
    taken = querysets.claim(
        HookEvent.objects.filter(fence=seen.fence),
        event_id,
        due=moment,
        fence=seen.fence + 1,
        passes=seen.passes + 1,
        wake_at=moment + lease,
    )
    if not taken:
        return None
    seen.fence += 1
    seen.passes += 1
    if seen.passes > PASSES:
        _finish(seen, HookEvent.State.DROPPED, [], now=moment)
        return None
    done = _done(seen)
    try:
        result = fire(
            seen.hook,
            json.loads(seen.payload),
            actor=seen.actor,
            correlation=seen.correlation,
            depth=seen.depth,
            event_id=seen.pk,
            plugin=seen.plugin,
            skip=done,
            event_at=seen.created_at,
            delivery=seen.passes,
            now=moment,
        )
    except ZelavisError as error:
        logger.warning("hook event not delivered", extra={"event": seen.pk, "hook": seen.hook, "code": error.code})
        _postpone(seen, [], now=moment)
        return None
    ended = now or timezone.now()
    again = [one for one in result.outcomes if one.status in _AGAIN or one.code == "hook_budget"]
    if again and seen.passes < PASSES:
        _postpone(seen, result.outcomes, now=ended, at_once=all(one.code == "hook_budget" for one in again))
    else:
        _finish(seen, HookEvent.State.DONE, result.outcomes, now=ended)
    return result


def sweep(*, now: datetime | None = None) -> int:
    """Deliver every event that is due, the bell or not; old finished ones go. How many were looked at."""
    moment = now or timezone.now()
    due = list(querysets.due_events(moment).values_list("pk", flat=True)[:BATCH])
    for event_id in due:
        deliver(event_id, now=now)
    if len(due) == BATCH:
        doorbell.ring("zelavis.tasks.sweep_hooks")
    elif not due:
        HookEvent.objects.filter(finished_at__lt=moment - KEEP).delete()
    return len(due)


def seconds_until_next() -> float | None:
    """For beat: when the next event needs somebody."""
    earliest = querysets.earliest(HookEvent.objects.filter(wake_at__isnull=False), "wake_at")
    return None if earliest is None else (earliest - timezone.now()).total_seconds()


def _done(event: HookEvent) -> set[str]:
    """Listeners that ran in an earlier pass, by the ledger: a worker may have died between a call and its record."""
    if event.passes == 1:
        return set()
    now_ms = int(event.created_at.timestamp() * 1000)
    names = {
        call_id(event.pk, entry, now_ms=now_ms, delivery=delivery): entry.name
        for entry in registry.active_for_hook(event.hook)
        for delivery in range(1, event.passes)
    }
    return {names[found] for found in ledger.known(names)}


def _postpone(event: HookEvent, outcomes: list[HookOutcome], *, now: datetime, at_once: bool = False) -> None:
    wait = timedelta(0) if at_once else timedelta(seconds=min(60, 2**event.passes))
    changed = HookEvent.objects.filter(pk=event.pk, fence=event.fence).update(
        wake_at=now + wait, outcomes=_merged(event, outcomes)
    )
    if changed and at_once:
        doorbell.ring("zelavis.tasks.deliver_hook", event.pk)


def _finish(event: HookEvent, state: str, outcomes: list[HookOutcome], *, now: datetime) -> None:
    HookEvent.objects.filter(pk=event.pk, fence=event.fence).update(
        state=state, wake_at=None, finished_at=now, outcomes=_merged(event, outcomes)
    )


def _merged(event: HookEvent, outcomes: list[HookOutcome]) -> str:
    held = {one["plugin"]: one for one in json.loads(event.outcomes)}
    for one in outcomes:
        held[one.plugin] = {
            "plugin": one.plugin,
            "status": one.status,
            "invocation": one.invocation,
            "durationMs": round(one.duration_ms, 3),
            "message": one.message[:500],
        }
    return json.dumps(list(held.values()), ensure_ascii=False)
