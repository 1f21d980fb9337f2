"""The backend on Django's database. Raw SQL where every plugin call passes; it is the same on SQLite and PostgreSQL.

A call's commit first takes the row of its plugin and store in ``PluginUsage``: commits of one plugin stand in line,
and quotas and guards are decided on what is really stored. On SQLite the IMMEDIATE transaction does the same.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from django.db import transaction

from sandbox.capabilities import registry, secrets
from sandbox.capabilities.backends import sql, stores
from sandbox.capabilities.backends.documents import DatabaseDocuments
from sandbox.capabilities.backends.meters import Meters
from sandbox.capabilities.backends.protocol import Message, Wake
from sandbox.capabilities.backends.values import USAGE, DatabaseValues
from sandbox.capabilities.models import PluginSecret


class DatabaseBackend:
    """All stores as rows."""

    recorded = None

    def __init__(self) -> None:
        self._values = DatabaseValues()
        self._documents = DatabaseDocuments()
        self._objects = stores.DatabaseObjects()
        self._blobs = stores.DatabaseBlobs()
        self._meters = Meters()

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
        row = sql.execute(USAGE, (plugin, store)).fetchone()
        return (row[0], row[1]) if row else (0, 0)

    def charge(self, plugin: str, meter: str, amount: int, limit: int, *, now_ms: int) -> bool:
        return self._meters.charge(plugin, meter, amount, limit, now_ms=now_ms)


@functools.cache
def default() -> DatabaseBackend:
    """The backend of this process."""
    return DatabaseBackend()
