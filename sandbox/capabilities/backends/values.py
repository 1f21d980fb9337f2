"""``kv`` in the database."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection

from sandbox.capabilities.backends.memory import changed
from sandbox.capabilities.backends.protocol import Entry, ValueChange
from sandbox.capabilities.backends.room import check_room

_GET = (
    "SELECT value, expires_ms FROM sandbox_pluginvalue "
    "WHERE plugin = %s AND key = %s AND (expires_ms IS NULL OR expires_ms > %s)"
)
_SCAN = (
    "SELECT key, value, expires_ms FROM sandbox_pluginvalue "
    "WHERE plugin = %s AND key > %s AND key >= %s AND key < %s AND (expires_ms IS NULL OR expires_ms > %s) "
    "ORDER BY key LIMIT %s"
)
_PUT = (
    "INSERT INTO sandbox_pluginvalue (plugin, key, value, expires_ms, size, updated_ms) "
    "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (plugin, key) DO UPDATE SET "
    "value = excluded.value, expires_ms = excluded.expires_ms, size = excluded.size, updated_ms = excluded.updated_ms"
)
_ROW = "SELECT value, expires_ms, size FROM sandbox_pluginvalue WHERE plugin = %s AND key = %s"
_DELETE = "DELETE FROM sandbox_pluginvalue WHERE plugin = %s AND key = %s"
_EXPIRED = "SELECT count(*), coalesce(sum(size), 0) FROM sandbox_pluginvalue WHERE plugin = %s AND expires_ms <= %s"
_SWEEP = "DELETE FROM sandbox_pluginvalue WHERE plugin = %s AND expires_ms <= %s"
USAGE = "SELECT count, bytes FROM sandbox_pluginusage WHERE plugin = %s AND store = %s"
_USAGE_LOCK = "SELECT count, bytes FROM sandbox_pluginusage WHERE plugin = %s AND store = %s FOR UPDATE"
#: Above every key: keys hold no unassigned code points.
_LAST = "\U0010ffff"


class DatabaseValues:
    """The store of ``kv``."""

    def get(self, plugin: str, key: str, *, now_ms: int) -> Entry | None:
        with connection.cursor() as cursor:
            cursor.execute(_GET, [plugin, key, now_ms])
            row = cursor.fetchone()
        return Entry(row[0], row[1]) if row else None

    def scan(self, plugin: str, prefix: str, after: str | None, limit: int, *, now_ms: int) -> list[tuple[str, Entry]]:
        with connection.cursor() as cursor:
            cursor.execute(_SCAN, [plugin, after or "", prefix, prefix + _LAST, now_ms, limit])
            return [(key, Entry(text, expires_ms)) for key, text, expires_ms in cursor.fetchall()]

    def expired(self, plugin: str, *, now_ms: int) -> tuple[int, int]:
        with connection.cursor() as cursor:
            cursor.execute(_EXPIRED, [plugin, now_ms])
            count, octets = cursor.fetchone()
        return count, int(octets)

    def apply(
        self, plugin: str, changes: Sequence[ValueChange], *, most_bytes: int, most_keys: int, now_ms: int
    ) -> None:
        # SQLite's IMMEDIATE transaction is a lock already; elsewhere the row of the usage is, and comes first.
        before = lock_usage(plugin, "kv") if connection.features.has_select_for_update else None
        count = octets = 0
        with connection.cursor() as cursor:
            for change in changes:
                cursor.execute(_ROW, [plugin, change.key])
                row = cursor.fetchone()
                live = row is not None and (row[1] is None or row[1] > now_ms)
                entry = changed(Entry(row[0], row[1]) if row is not None and live else None, change)
                if row is not None:
                    count, octets = count - 1, octets - row[2]
                if entry is not None:
                    size = len(change.key.encode()) + len(entry.text.encode())
                    cursor.execute(_PUT, [plugin, change.key, entry.text, entry.expires_ms, size, now_ms])
                    count, octets = count + 1, octets + size
                elif row is not None:
                    cursor.execute(_DELETE, [plugin, change.key])
            if before is None and (count or octets):
                before = lock_usage(plugin, "kv")
            if before is None or not (count or octets):
                return
            count, octets = before[0] + count, before[1] + octets
            if count > most_keys or octets > most_bytes:
                # Full: what has expired goes first.
                gone, freed = self.expired(plugin, now_ms=now_ms)
                cursor.execute(_SWEEP, [plugin, now_ms])
                count, octets = count - gone, octets - freed
        check_room(before, (count, octets), most_bytes=most_bytes, most_count=most_keys, store="kv", noun="keys")
        write_usage(plugin, "kv", count, octets)


def lock_usage(plugin: str, store: str) -> tuple[int, int]:
    """Count and bytes of a plugin's store, locked until the end of the transaction."""
    with connection.cursor() as cursor:
        query = _USAGE_LOCK if connection.features.has_select_for_update else USAGE
        cursor.execute(query, [plugin, store])
        row = cursor.fetchone()
        if row is None:
            cursor.execute(
                "INSERT INTO sandbox_pluginusage (plugin, store, count, bytes) VALUES (%s, %s, 0, 0) "
                "ON CONFLICT (plugin, store) DO NOTHING",
                [plugin, store],
            )
            cursor.execute(query, [plugin, store])
            row = cursor.fetchone()
    return row[0], row[1]


def write_usage(plugin: str, store: str, count: int, octets: int) -> None:
    """Keep what :func:`lock_usage` locked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sandbox_pluginusage SET count = %s, bytes = %s WHERE plugin = %s AND store = %s",
            [count, octets, plugin, store],
        )
