"""What the admin's pages of runs show."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from django.contrib.admin.utils import quote, unquote
from django.http import HttpRequest
from django.urls import reverse

from runs import alarms, clock, jsontext, queries, records, states
from runs.models import Run, RunData, Waitpoint
from runs.models.run import moment
from zelavis.admin.site import Card

quoted, unquoted = quote, unquote
_LISTED = 200
_DEAD_LOOKED_AT = 2000


def run(row: Run) -> dict[str, Any]:
    """The context of one run's page."""
    record = records.load(row.pk)
    return {
        "title": f"{row.workflow_id} {row.pk}",
        "subtitle": None,
        "run": row,
        "record": record,
        "why": queries.why(row.pk),
        "events": timeline(row.pk),
        "waits": [_wait(wait) for wait in _pending(row.pk)],
        "steps": [_step(name, entry) for name, entry in record["journal"]["stepResults"].items()],
        "children": Run.objects.filter(parent_id=row.pk)[:_LISTED],
        "active": row.status in states.ACTIVE,
        "resumable": row.status in states.TERMINAL and row.status != states.COMPLETED,
        "sleeps": row.status == states.WAITING and row.wake_at is not None,
        "streams": record["streams"],
    }


def timeline(run_id: str) -> list[dict[str, Any]]:
    """What happened to a run, as pages show it."""
    return [_event(event) for event in queries.timeline(run_id)]


def waiting(*, kind: str = "") -> list[dict[str, Any]]:
    """Waits that somebody outside ends, oldest first."""
    rows = Waitpoint.objects.filter(state=states.PENDING, kind__in=list(states.INJECTABLE)).order_by("created_at")
    if kind in states.INJECTABLE:
        rows = rows.filter(kind=kind)
    return [_wait(wait) for wait in rows[:_LISTED]]


@dataclass
class Group:
    """Runs that died of the same."""

    key: str
    code: str
    message: str
    workflow_id: str
    count: int = 0
    newest: Any = None
    oldest: Any = None
    run_ids: list[str] = field(default_factory=list)


def dead() -> list[Group]:
    """The newest failed runs by workflow, code and message; the largest group first."""
    rows = Run.objects.filter(status__in=[states.FAILED, states.COMPENSATION_FAILED])
    found = list(rows.order_by("-created_at", "-id")[:_DEAD_LOOKED_AT])
    errors = dict(RunData.objects.filter(pk__in=[each.pk for each in found]).values_list("run_id", "error"))
    groups: OrderedDict[str, Group] = OrderedDict()
    for each in found:
        error = jsontext.loads(errors.get(each.pk) or "{}")
        code, message = str(error.get("code", "")), str(error.get("message", ""))[:200]
        key = jsontext.fingerprint([each.workflow_id, code, message])
        group = groups.setdefault(key, Group(key, code, message, each.workflow_id, newest=each.ended))
        group.count += 1
        group.oldest = each.ended
        group.run_ids.append(each.pk)
    return sorted(groups.values(), key=lambda group: -group.count)


def cards(request: HttpRequest) -> list[Card]:
    """Runs on the home page: waiting for a human, failed lately, late."""
    manual = Waitpoint.objects.filter(state=states.PENDING, kind=states.MANUAL).count()
    since = clock.now_ms() - 86_400_000
    failed = Run.objects.filter(status__in=[states.FAILED, states.COMPENSATION_FAILED], completed_at__gte=since).count()
    left = alarms.seconds_until_next()
    late = left is not None and left < -30
    return [
        Card(
            title="Questions of runs",
            count=manual,
            url=f"{reverse('admin:runs_run_waiting')}?kind=MANUAL",
            text="Runs wait for somebody's answer." if manual else "No run waits for an answer.",
            tone="notice" if manual else "calm",
        ),
        Card(
            title="Failed runs",
            count=failed,
            url=reverse("admin:runs_run_dead"),
            text="In the last day, grouped by cause." if failed else "None in the last day.",
            tone="alarm" if failed else "calm",
        ),
        Card(
            title="Late runs",
            count=alarms.overdue(at_most=1000) if late else 0,
            url=reverse("admin:runs_run_changelist"),
            text="Due for over half a minute: is a worker running?" if late else "Alarms are delivered in time.",
            tone="alarm" if late else "calm",
        ),
    ]


def _pending(run_id: str) -> list[Waitpoint]:
    return list(Waitpoint.objects.filter(run_id=run_id, state=states.PENDING).order_by("ordinal"))


def _wait(wait: Waitpoint) -> dict[str, Any]:
    return {
        "row": wait,
        "run_url": reverse("admin:runs_run_change", args=[quote(wait.run_id)]),
        "can_resolve": wait.kind in states.INJECTABLE,
        "meta": jsontext.loads(wait.meta),
        "child_url": reverse("admin:runs_run_change", args=[quote(wait.child_run_id)]) if wait.child_run_id else "",
    }


def _step(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    started, finished = entry.get("startedAt"), entry.get("finishedAt")
    took = None
    if isinstance(started, int | float) and isinstance(finished, int | float):
        took = finished - started
    return {
        "name": name,
        "status": entry.get("status"),
        "attempt": entry.get("attempt"),
        "took": took,
        "value": entry.get("output") if entry.get("status") == "ok" else entry.get("error"),
    }


def _event(event: dict[str, Any]) -> dict[str, Any]:
    tone = ""
    if event.get("status") == "err" or event["kind"] == "retry" or event["text"] in ("failed", "compensation_failed"):
        tone = "fail"
    elif event["kind"] == "waiting":
        tone = "wait"
    elif event["text"] == "completed" or event.get("status") == "ok":
        tone = "good"
    return {**event, "moment": moment(event["at"]), "tone": tone, "retries": moment(event.get("retryAt"))}
