"""The backend on Django's database. Raw SQL where every plugin call passes; it is the same on SQLite and PostgreSQL.

A call's commit first takes the row of its plugin and store in ``PluginUsage``: commits of one plugin stand in line,
and quotas and guards are decided on what is really stored. On SQLite the IMMEDIATE transaction does the same.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from django.db import connection, transaction

from sandbox.capabilities import registry, secrets
from sandbox.capabilities.backends import stores
from sandbox.capabilities.backends.documents import DatabaseDocuments
from sandbox.capabilities.backends.protocol import Message, Wake
from sandbox.capabilities.backends.values import USAGE, DatabaseValues
from sandbox.capabilities.faults import CommitQuotaExceeded
from sandbox.capabilities.models import PluginSecret

HOUR_MS = 3_600_000
#: How long a process may trust its own reading of an hourly count, in seconds; the commit decides.
_FRESH = 1.0

_METER_READ = "SELECT used FROM sandbox_pluginmeter WHERE plugin = %s AND meter = %s AND hour = %s"
_METER_ADD = (
    "UPDATE sandbox_pluginmeter SET used = used + %s WHERE plugin = %s AND meter = %s AND hour = %s AND used + %s <= %s"
)
_METER_NEW = (
    "INSERT INTO sandbox_pluginmeter (plugin, meter, hour, used) VALUES (%s, %s, %s, 0) "
    "ON CONFLICT (plugin, meter, hour) DO NOTHING"
)
_NO_LIMIT = 1 << 62


class DatabaseBackend:
    """All stores as rows."""

    recorded = None

    def __init__(self) -> None:
        self._values = DatabaseValues()
        self._documents = DatabaseDocuments()
        self._objects = stores.DatabaseObjects()
        self._blobs = stores.DatabaseBlobs()
        self._read: dict[tuple[str, str, int], tuple[float, int]] = {}

    @property
    def values(self) -> DatabaseValues:
        return self._values

    @property
    def documents(self) -> DatabaseDocuments:
        return self._documents

    @property
    def objects(self) -> stores.DatabaseObjects:
        return self._objects

    @property
    def blobs(self) -> stores.DatabaseBlobs:
        return self._blobs

    def secret(self, plugin: str, name: str) -> str | None:
        sealed = PluginSecret.objects.filter(plugin=plugin, name=name).values_list("sealed", flat=True).first()
        return None if sealed is None else secrets.unseal(sealed)

    def secret_names(self, plugin: str) -> set[str]:
        return set(PluginSecret.objects.filter(plugin=plugin).values_list("name", flat=True))

    def queue_mail(self, plugin: str, call: str, messages: Sequence[Message]) -> None:
        stores.queue_mail(plugin, call, messages)

    def wakes(self, plugin: str) -> list[Wake]:
        return stores.wakes(plugin)

    def set_wakes(self, plugin: str, changes: Mapping[str, Wake | None], *, most: int) -> None:
        stores.set_wakes(plugin, changes, most=most)

    def after_commit(self, kind: str) -> None:
        for ring in registry.AFTER_COMMIT[kind]:
            ring()

    def transaction(self) -> AbstractContextManager[Any]:
        return transaction.atomic()

    def usage(self, plugin: str, store: str) -> tuple[int, int]:
        with connection.cursor() as cursor:
            cursor.execute(USAGE, [plugin, store])
            row = cursor.fetchone()
        return (row[0], row[1]) if row else (0, 0)

    def used(self, plugin: str, meter: str, limit: int, *, now_ms: int) -> int:
        slot = (plugin, meter, now_ms // HOUR_MS)
        kept = self._read.get(slot)
        # A count only grows within its hour, so an old reading below the limit may be wrong and one above may not;
        # but rows can be removed by an operator, so a refusal always rests on a fresh reading.
        if kept is not None and kept[1] < limit and time.monotonic() - kept[0] < _FRESH:
            return kept[1]
        with connection.cursor() as cursor:
            cursor.execute(_METER_READ, slot)
            row = cursor.fetchone()
        if len(self._read) > 10_000:
            self._read.clear()
        used: int = row[0] if row else 0
        self._read[slot] = (time.monotonic(), used)
        return used

    def charge(self, plugin: str, meter: str, amount: int, limit: int, *, now_ms: int) -> bool:
        # A transaction of its own: on SQLite it stands in this process's line of writers.
        with transaction.atomic():
            return self._charge(plugin, meter, amount, limit, now_ms=now_ms)

    def _charge(self, plugin: str, meter: str, amount: int, limit: int, *, now_ms: int) -> bool:
        slot = (plugin, meter, now_ms // HOUR_MS)
        arguments: list[str | int] = [amount, *slot, amount, limit]
        with connection.cursor() as cursor:
            cursor.execute(_METER_ADD, arguments)
            if cursor.rowcount == 0:
                cursor.execute(_METER_NEW, slot)
                cursor.execute(_METER_ADD, arguments)
            counted: bool = cursor.rowcount > 0
        if counted and slot in self._read:
            self._read[slot] = (self._read[slot][0], self._read[slot][1] + amount)
        return counted

    def settle(self, plugin: str, charges: Mapping[str, tuple[int, int]], *, now_ms: int, strict: bool = True) -> None:
        # Always in the same order, so that two commits of one plugin cannot wait for each other.
        for meter, (amount, limit) in sorted(charges.items()):
            if not self._charge(plugin, meter, amount, limit if strict else _NO_LIMIT, now_ms=now_ms):
                raise CommitQuotaExceeded(f"{meter}: {limit} an hour are used up.")


@functools.cache
def default() -> DatabaseBackend:
    """The backend of this process."""
    return DatabaseBackend()
