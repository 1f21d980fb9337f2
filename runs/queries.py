"""Reading many runs, and reading one closely: list, journal, timeline, and why it is not moving."""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from django.db import connection
from django.db.models import Q

from runs import clock, jsontext, slots, states
from runs.dispatchers.choose import choose
from runs.models import InboxItem, JournalEntry, Run, RunTag, Waitpoint
from zelavis.errors import InvalidRequest, NotFound

MAX_LIMIT = 200


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Of the list; empty means any. Times are milliseconds."""

    tenant: str = ""
    statuses: Sequence[str] = ()
    workflow_id: str = ""
    tag: str = ""
    parent: str = ""
    created_from: int | None = None
    created_to: int | None = None


def page(filters: Filters, *, limit: int = 50, cursor: str = "") -> tuple[list[Run], str]:
    """Runs, newest first, and the cursor of the next page (empty at the end).

    Raises:
        InvalidRequest: the cursor is not one of ours.
    """
    rows = Run.objects.all()
    if filters.tenant:
        rows = rows.filter(tenant=filters.tenant)
    if filters.statuses:
        rows = rows.filter(status__in=filters.statuses)
    if filters.workflow_id:
        rows = rows.filter(workflow_id=filters.workflow_id)
    if filters.parent:
        rows = rows.filter(parent_id=filters.parent)
    if filters.tag:
        rows = rows.filter(id__in=RunTag.objects.filter(value=filters.tag).values("run_id"))
    if filters.created_from is not None:
        rows = rows.filter(created_at__gte=filters.created_from)
    if filters.created_to is not None:
        rows = rows.filter(created_at__lt=filters.created_to)
    if cursor:
        created_at, run_id = _read_cursor(cursor)
        rows = rows.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, id__lt=run_id))
    found = list(rows.order_by("-created_at", "-id")[: limit + 1])
    following = _cursor(found[limit - 1]) if len(found) > limit else ""
    return found[:limit], following


def summary(run: Run) -> dict[str, Any]:
    """A run in a list: what stands in its small row."""
    result: dict[str, Any] = {
        "id": run.id,
        "workflowId": run.workflow_id,
        "workflowVersion": run.workflow_version,
        "status": run.status,
        "environment": run.environment,
        "tenantId": run.tenant,
        "invocationCount": run.invocations,
        "computeTimeMs": run.compute_ms,
        "startedAt": run.started_at,
        "createdAt": run.created_at,
    }
    optional = {
        "completedAt": run.completed_at,
        "wakeAt": run.wake_at if run.status in states.ACTIVE else None,
        "priority": run.priority or None,
        "concurrencyKey": run.concurrency_key,
        "paused": True if run.paused else None,
        "parent": {"runId": run.parent_id, "waitpointId": run.parent_waitpoint} if run.parent_id else None,
    }
    return result | {name: value for name, value in optional.items() if value is not None}


def get(run_id: str, *, tenant: str = "") -> Run:
    """The small row.

    Raises:
        NotFound: no such run for this tenant.
    """
    run = Run.objects.filter(pk=run_id).first()
    if run is None or (tenant and run.tenant != tenant):
        raise NotFound(f"no run {run_id[:200]!r} is stored here")
    return run


def journal(run_id: str, *, tenant: str = "", after: int = 0, limit: int = 500) -> list[dict[str, Any]]:
    """The journal in its order, from sequence ``after`` on (exclusive)."""
    get(run_id, tenant=tenant)
    rows = JournalEntry.objects.filter(run_id=run_id, seq__gt=after).order_by("seq")[:limit]
    return [
        {
            "seq": row.seq,
            "kind": row.kind,
            "key": row.key,
            "at": row.at,
            "fence": row.fence,
            "data": jsontext.loads(row.data),
        }
        for row in rows
    ]


def timeline(run_id: str, *, tenant: str = "") -> list[dict[str, Any]]:
    """Everything that happened: ``{at, kind, text, …}``. Alarms say how late they were.

    What is journaled stands in the journal's order; the rest goes between by time, and in a millisecond behind what was
    journaled in it.
    """
    run = get(run_id, tenant=tenant)
    waits = {wait.key: wait for wait in Waitpoint.objects.filter(run_id=run_id).order_by("created_at", "ordinal")}
    rows = list(JournalEntry.objects.filter(run_id=run_id).order_by("seq"))
    over = {row.key: place for place, row in enumerate(rows) if row.kind == JournalEntry.RESOLVED}
    placed = [((-1, -1), {"at": run.created_at, "kind": "triggered", "text": f"{run.workflow_id} triggered"})]
    placed += [((place, -1), _happened(row, waits.get(row.key))) for place, row in enumerate(rows)]
    between = _Between(rows)
    placed += [(between.of_wait(wait.created_at, over.get(key)), _registered(wait)) for key, wait in waits.items()]
    for item in InboxItem.objects.filter(run_id=run_id).exclude(disposition=states.MATCHED).order_by("id"):
        text = f"{item.kind.lower()} {item.key} {item.disposition}"
        event = {"at": item.created_at, "kind": "injection", "text": text, "receiptId": item.id}
        placed.append((between.place(item.created_at), event))
    if run.completed_at is not None:
        ended = {"at": run.completed_at, "kind": "ended", "text": run.status}
        placed.append((between.place(run.completed_at), ended))
    # Of what is in one place the order above is kept.
    return [event for _, event in sorted(placed, key=lambda one: one[0])]


class _Between:
    """Places between the rows of a journal, for what happened and has none of its own."""

    def __init__(self, rows: Sequence[JournalEntry]) -> None:
        self._rows: dict[int, list[int]] = {}
        self._parks: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            self._rows.setdefault(row.at, []).append(place)
            if row.kind == JournalEntry.INVOCATION and jsontext.loads(row.data).get("status") == states.WAITING:
                self._parks.setdefault(row.at, []).append(place)
        # Hosts' clocks differ: a row is no earlier than those before it.
        self._latest = list(accumulate((row.at for row in rows), max))

    def of_wait(self, at: int, over: int | None) -> tuple[int, int]:
        """Behind the invocation that registered it, of the same commit, and before the row of its end."""
        made = self._last(self._parks, at, over)
        return self.place(at, over) if made is None else (made, at)

    def place(self, at: int, before: int | None = None) -> tuple[int, int]:
        """Behind the last row of this moment, or else by time; and before this row."""
        same = self._last(self._rows, at, before)
        before = len(self._latest) if before is None else before
        return bisect_right(self._latest, at, 0, before) - 1 if same is None else same, at

    def _last(self, places: dict[int, list[int]], at: int, before: int | None) -> int | None:
        found = places.get(at, [])
        count = len(found) if before is None else bisect_left(found, before)
        return found[count - 1] if count else None


def _registered(wait: Waitpoint) -> dict[str, Any]:
    event: dict[str, Any] = {
        "at": wait.created_at,
        "kind": "waiting",
        "text": f"waits for {_named(wait.kind, wait.match_key)}",
        "waitpointId": wait.key,
    }
    if wait.wake_at is not None:
        event["wakeAt"] = wait.wake_at
    if wait.child_run_id:
        event["childRunId"] = wait.child_run_id
    return event


def _happened(row: JournalEntry, wait: Waitpoint | None) -> dict[str, Any]:
    data = jsontext.loads(row.data)
    event: dict[str, Any] = {"at": row.at, "kind": row.kind, "seq": row.seq}
    match row.kind:
        case JournalEntry.STEP:
            event |= {
                "text": f"step {row.key} {'done' if data.get('status') == 'ok' else 'failed'}",
                "status": data.get("status"),
                "attempt": data.get("attempt"),
                "durationMs": _span(data),
            }
        case JournalEntry.RESOLVED:
            event |= {"text": f"{row.key} over", "waitpointId": row.key, "source": data.get("source")}
            if wait is not None:
                event |= {"by": wait.resolved_by, "waitedMs": row.at - wait.created_at}
                if wait.wake_at is not None and wait.resolved_by in ("alarm", "timeout"):
                    event |= {"text": f"{row.key} {wait.resolved_by}", "latenessMs": row.at - wait.wake_at}
        case JournalEntry.INVOCATION:
            event |= {"text": f"invocation {row.key}: {data.get('status')}", "durationMs": data.get("durationMs")}
        case JournalEntry.RETRY:
            event |= {
                "text": f"attempt {row.key} failed: {data.get('message')}",
                "retryAt": data.get("retryAt"),
                "durationMs": data.get("durationMs"),
            }
        case JournalEntry.COMPENSATION:
            event |= {"text": f"step {row.key} undone: {data.get('status')}", "status": data.get("status")}
        case JournalEntry.NOTE:
            actor = data.get("actor")
            event |= {"text": row.key + (f" by {actor}" if actor else ""), "detail": data}
        case _:
            event |= {"text": f"{row.kind} {row.key}", "detail": data}
    return event


def why(run_id: str, *, tenant: str = "", now: int | None = None) -> dict[str, Any]:
    """One answer to "why is it not moving": a sentence, and the facts behind it."""
    run = get(run_id, tenant=tenant)
    moment = clock.now_ms() if now is None else now
    answer: dict[str, Any] = {"runId": run.id, "status": run.status, "at": moment}
    if run.status in states.TERMINAL:
        return answer | {"reason": "ended", "text": f"It ended as {run.status}.", "completedAt": run.completed_at}
    waits = [_waiting(wait, moment) for wait in _pending(run_id)]
    answer |= {"waits": waits, "nextWakeAt": run.wake_at}
    last = JournalEntry.objects.filter(run_id=run_id, kind=JournalEntry.RETRY).order_by("-seq").first()
    if last is not None:
        answer["lastTenantError"] = {"at": last.at} | jsontext.loads(last.data)
    dispatcher = choose(run.workflow_id, run.tenant)
    answer["dispatcher"] = None if dispatcher is None else dispatcher.name
    return answer | _reason(run, waits, moment)


def _reason(run: Run, waits: list[dict[str, Any]], now: int) -> dict[str, Any]:
    if run.paused:
        return {"reason": "paused", "text": "Somebody paused it; unpause it to go on."}
    if run.status == states.WAITING:
        blocked = _blocked(run)
        if blocked is not None:
            return blocked
        names = ", ".join(wait["text"] for wait in waits) or "nothing"
        text = f"It waits for {names}."
        if run.wake_at is None:
            return {"reason": "waiting", "text": text}
        left = run.wake_at - now
        text += f" Its alarm is {-left / 1000:.1f} s late." if left < -1000 else f" Its next alarm is {_in(left)}."
        return {"reason": "waiting", "text": text, "nextAlarmAt": run.wake_at}
    if run.lease_owner:
        left = (run.wake_at or now) - now
        driven = "is driven" if left > 0 else "was driven"
        return {
            "reason": "driven",
            "text": f"It {driven} by {run.lease_owner}; the lease {'ends' if left > 0 else 'ended'} "
            f"{abs(left) / 1000:.1f} s {'from now' if left > 0 else 'ago'}.",
            "leaseOwner": run.lease_owner,
            "leaseEndsInMs": left,
        }
    blocked = _blocked(run)
    if blocked is not None:
        return blocked
    if run.attempts:
        left = max(0, (run.wake_at or now) - now)
        return {
            "reason": "retry",
            "text": f"Its tenant could not be asked {run.attempts} times; the next try is in {left / 1000:.1f} s.",
            "retryAt": run.wake_at,
            "attempts": run.attempts,
        }
    return {"reason": "ready", "text": "It is ready and waits for a worker."}


def _blocked(run: Run) -> dict[str, Any] | None:
    """That it waits for a place under its concurrency key; ``None``: it has one, or needs none."""
    if not run.concurrency_key:
        return None
    with connection.cursor() as cursor:
        held_by = slots.holders_seen(cursor, run.concurrency_key)
    if run.id in held_by:
        return None
    text = f"It waits for a place under {run.concurrency_key}, held by {', '.join(held_by)}."
    return {"reason": "concurrency", "text": text, "concurrencyKey": run.concurrency_key, "heldBy": held_by}


def _in(ms: int) -> str:
    """``in 2 h 5 min``, roughly."""
    seconds = max(0, round(ms / 1000))
    for name, size, small, unit in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            return f"in {seconds // size} {name} {seconds % size // unit} {small}"
    return f"in {seconds} s"


def _pending(run_id: str) -> list[Waitpoint]:
    return list(Waitpoint.objects.filter(run_id=run_id, state=states.PENDING).order_by("ordinal"))


def _waiting(wait: Waitpoint, now: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "waitpointId": wait.key,
        "kind": wait.kind,
        "text": _named(wait.kind, wait.match_key),
        "since": wait.created_at,
        "forMs": now - wait.created_at,
    }
    if wait.wake_at is not None:
        result["wakeAt"] = wait.wake_at
    if wait.child_run_id:
        result["childRunId"] = wait.child_run_id
    return result


def _named(kind: str, key: str) -> str:
    names = {
        states.DATETIME: "a time",
        states.EVENT: f"event {key}",
        states.SIGNAL: f"signal {key}",
        states.MANUAL: f"an answer to token {key}",
        states.RUN: f"a run of {key}",
    }
    return names[kind]


def _span(data: dict[str, Any]) -> int | None:
    started, finished = data.get("startedAt"), data.get("finishedAt")
    if isinstance(started, int | float) and isinstance(finished, int | float):
        return int(finished - started)
    return None


def _cursor(run: Run) -> str:
    return base64.urlsafe_b64encode(json.dumps([run.created_at, run.id]).encode()).decode().rstrip("=")


def _read_cursor(text: str) -> tuple[int, str]:
    try:
        created_at, run_id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if isinstance(created_at, int) and isinstance(run_id, str) and "\x00" not in run_id:
            run_id.encode()
            return created_at, run_id
    except (binascii.Error, ValueError, TypeError, RecursionError):
        pass
    raise InvalidRequest("cursor is not one that a list gave")
