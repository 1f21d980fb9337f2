"""Sending the mail of plugins, and finding the plugins that set a time for themselves. Called by the core's tasks."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta

from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from sandbox.capabilities.models import PluginMail, PluginWake

logger = logging.getLogger("sandbox.capabilities")

MAX_ATTEMPTS = 5
_RETRY = timedelta(minutes=1)
_WAITING = (PluginMail.State.QUEUED, PluginMail.State.SENDING)


def seconds_until_next_mail() -> float | None:
    """Seconds until a message is due; ``None``: none waits."""
    due = PluginMail.objects.filter(state__in=_WAITING).aggregate(due=Min("due_at"))["due"]
    return None if due is None else (due - timezone.now()).total_seconds()


def send_due(*, now: datetime | None = None, limit: int = 50) -> int:
    """Send what is due, one message at a time; gives how many were sent.

    A message is claimed before it is sent. A sender that dies leaves its claim to run out, so a message is sent at
    least once and, in that one case, perhaps twice.
    """
    now = now or timezone.now()
    sent = 0
    for pk in list(PluginMail.objects.filter(state__in=_WAITING, due_at__lte=now).values_list("pk", flat=True)[:limit]):
        claimed = PluginMail.objects.filter(pk=pk, state__in=_WAITING, due_at__lte=now).update(
            state=PluginMail.State.SENDING, due_at=now + 5 * _RETRY
        )
        if claimed:
            sent += _send(PluginMail.objects.get(pk=pk), now)
    return sent


def _send(mail: PluginMail, now: datetime) -> bool:
    message = EmailMultiAlternatives(mail.subject, mail.text, to=json.loads(mail.recipients))
    message.extra_headers["X-Zelavis-Plugin"] = mail.plugin
    if mail.html:
        message.attach_alternative(mail.html, "text/html")
    mail.attempts += 1
    try:
        message.send()
    except Exception as error:  # noqa: BLE001  whatever the mail backend raises, the message is tried again or marked
        logger.warning("mail not sent", extra={"plugin": mail.plugin, "mail": mail.pk, "reason": str(error)})
        mail.error = f"{type(error).__name__}: {error}"[:300]
        last = mail.attempts >= MAX_ATTEMPTS
        mail.state = PluginMail.State.FAILED if last else PluginMail.State.QUEUED
        mail.due_at = now + _RETRY * 2**mail.attempts
        mail.save()
        return False
    mail.state, mail.error = PluginMail.State.SENT, ""
    mail.save()
    return True


def seconds_until_next_wake() -> float | None:
    """Seconds until a plugin wants to be woken; ``None``: none does."""
    at_ms = PluginWake.objects.aggregate(at=Min("at_ms"))["at"]
    return None if at_ms is None else at_ms / 1000 - timezone.now().timestamp()


def claim_wakes(*, now_ms: int, limit: int = 100) -> list[PluginWake]:
    """Take the wake times that are due; each is given to one caller only.

    The caller fires the hook ``cron`` of the plugin with ``{"schedule": name, "data": …, "scheduledAt": …}``.
    """
    claimed = []
    for row in list(PluginWake.objects.filter(at_ms__lte=now_ms).order_by("at_ms")[:limit]):
        with transaction.atomic():
            # Moved meanwhile: the new time counts.
            if PluginWake.objects.filter(pk=row.pk, at_ms=row.at_ms).delete()[0]:
                claimed.append(row)
    return claimed
