"""What is kept for a time goes when the time is over. Called by the core's hourly task; safe to call at any time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from sandbox.models import Invocation, PluginMail, PluginMeter, PluginValue, Tape

MAIL_DAYS = 30
_CHUNK = 1000


def prune(*, now: datetime | None = None) -> dict[str, int]:
    """Delete what is over; gives how much of each. In small transactions, so that nobody waits long."""
    now = now or timezone.now()
    ledger = timedelta(days=settings.SANDBOX_LEDGER_DAYS)
    tapes = timedelta(days=settings.SANDBOX_TAPE_DAYS)
    hour = int(now.timestamp()) // 3600
    return {
        "invocations": _delete(Invocation.objects.filter(created_at__lt=now - ledger)),
        "tapes": _delete(Tape.objects.filter(created_at__lt=now - tapes)),
        "meters": _delete(PluginMeter.objects.filter(hour__lt=hour - 48)),
        "mail": _delete(
            PluginMail.objects.filter(created_at__lt=now - timedelta(days=MAIL_DAYS), state__in=["sent", "failed"])
        ),
        "values": _expire(int(now.timestamp() * 1000)),
    }


def _delete(rows: Any) -> int:
    total = 0
    while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:_CHUNK]):
        total += rows.model.objects.filter(pk__in=keys).delete()[0]
    return total


def _expire(now_ms: int) -> int:
    """Delete expired values and take them off their plugin's usage."""
    from sandbox.capabilities.backends.values import lock_usage, write_usage

    total = 0
    expired = PluginValue.objects.filter(expires_ms__lte=now_ms)
    for plugin in list(expired.order_by().values_list("plugin", flat=True).distinct()):
        with transaction.atomic():
            count, octets = lock_usage(plugin, "kv")
            gone = list(expired.filter(plugin=plugin).values_list("pk", "size"))
            PluginValue.objects.filter(pk__in=[pk for pk, _ in gone]).delete()
            write_usage(plugin, "kv", count - len(gone), octets - sum(size for _, size in gone))
            total += len(gone)
    return total
