"""The core's numbers on the home page."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from zelavis import querysets
from zelavis.admin.site import CARDS, Card
from zelavis.models import CircuitBreaker, HookEvent, PluginEntry

#: A waiting hook event older than this says that no worker listens.
_LATE = timedelta(minutes=1)


def core(request: HttpRequest) -> list[Card]:
    """Activations at work, failed ones, plugins that are let rest, hook events that wait too long."""
    working = querysets.unfinished().count()
    resting = CircuitBreaker.objects.filter(opened_at__isnull=False).count()
    entries = PluginEntry.objects.aggregate(
        failed=Count("pk", filter=Q(activation_state=PluginEntry.ActivationState.FAILED)),
        blocked=Count("pk", filter=~Q(blocked="")),
        staged=Count("pk", filter=querysets.STAGED),
        waiting=Count("pk", filter=querysets.FOR_A_PERSON),
    )
    failed, blocked, staged, waiting = (entries[name] for name in ("failed", "blocked", "staged", "waiting"))
    late = HookEvent.objects.filter(wake_at__lt=timezone.now() - _LATE).count()
    activations = reverse("admin:zelavis_activation_changelist")
    return [
        Card(
            title="Activating",
            count=working,
            url=f"{activations}?finished_at__isnull=True",
            text="Deployments and activations on their way." if working else "Nothing is on its way.",
            tone="notice" if working else "calm",
        ),
        Card(
            title="Failed plugins",
            count=failed,
            url=f"{reverse('admin:zelavis_pluginentry_changelist')}?activation_state__exact=failed",
            text="Their newest activation failed and nothing serves."
            if failed
            else "Every plugin is where it should be.",
            tone="alarm" if failed else "calm",
        ),
        Card(
            title="Blocked plugins",
            count=blocked,
            url=f"{reverse('admin:zelavis_pluginentry_changelist')}?blocked__gt=",
            text="Stopped by an operator until somebody lets them go on." if blocked else "Nobody stopped a plugin.",
            tone="notice" if blocked else "calm",
        ),
        Card(
            title="Staged updates",
            count=staged,
            url=f"{activations}?state__exact=rolling_out",
            text="A share of the calls goes to a new version." if staged else "No update is in stages.",
            tone="notice" if staged else "calm",
        ),
        Card(
            title="Updates waiting for you",
            count=waiting,
            url=f"{reverse('admin:zelavis_pluginentry_changelist')}?update_wait__in={','.join(PluginEntry.FOR_A_PERSON)}",
            text="A policy would update them, but a consent or a setting is missing."
            if waiting
            else "No automatic update waits for a person.",
            tone="notice" if waiting else "calm",
        ),
        Card(
            title="Resting plugins",
            count=resting,
            url=reverse("admin:zelavis_circuitbreaker_changelist"),
            text="They trapped five times in a row." if resting else "No circuit breaker is open.",
            tone="alarm" if resting else "calm",
        ),
        Card(
            title="Late hook events",
            count=late,
            url=f"{reverse('admin:zelavis_hookevent_changelist')}?state__exact=waiting",
            text="Waiting for a worker for over a minute." if late else "Events are delivered as they come.",
            tone="alarm" if late else "calm",
        ),
    ]


CARDS.append(core)
