"""``kv`` in the database."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection

from sandbox.capabilities.backends import sql
from sandbox.capabilities.backends.memory import changed
from sandbox.capabilities.backends.protocol import ANYTHING, Entry, ValueChange
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
_REPLACE = (
    "UPDATE sandbox_pluginvalue SET value = %s, expires_ms = %s, size = %s, updated_ms = %s "
    "WHERE plugin = %s AND key = %s AND size = %s"
)
_REPLACE_SEEN = _REPLACE + " AND value = %s AND (expires_ms IS NULL OR expires_ms > %s)"
_DELETE = "DELETE FROM sandbox_pluginvalue WHERE plugin = %s AND key = %s"
_EXPIRED = "SELECT count(*), coalesce(sum(size), 0) FROM sandbox_pluginvalue WHERE plugin = %s AND expires_ms <= %s"
_SWEEP = "DELETE FROM sandbox_pluginvalue WHERE plugin = %s AND expires_ms <= %s"
USAGE = "SELECT count, bytes FROM sandbox_pluginusage WHERE plugin = %s AND store = %s"
_USAGE_LOCK = "SELECT count, bytes FROM sandbox_pluginusage WHERE plugin = %s AND store = %s FOR UPDATE"
_USAGE_NEW = (
    "INSERT INTO sandbox_pluginusage (plugin, store, count, bytes) VALUES (%s, %s, 0, 0) "
    "ON CONFLICT (plugin, store) DO NOTHING"
)
_USAGE_WRITE = "UPDATE sandbox_pluginusage SET count = %s, bytes = %s WHERE plugin = %s AND store = %s"
#: Above every key: keys hold no unassigned code points.
_LAST = "\U0010ffff"


class DatabaseValues:
    """The store of ``kv``."""

    def get(self, plugin: str, key: str, *, now_ms: int) -> Entry | None:
        row = sql.execute(_GET, (plugin, key, now_ms)).fetchone()
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
        locks = connection.features.has_select_for_update
        # SQLite's IMMEDIATE transaction is a lock already. Elsewhere the row of the usage is, and comes first: an
        # UPDATE that waits for a row and then leaves it alone holds it all the same.
        before = lock_usage(plugin, "kv") if locks else None
        count = octets = 0
        for change in changes:
            if _replaced(plugin, change, now_ms):
                octets += _grows(change) or 0
                continue
            row = sql.execute(_ROW, (plugin, change.key)).fetchone()
            live = row is not None and (row[1] is None or row[1] > now_ms)
            entry = changed(Entry(row[0], row[1]) if row is not None and live else None, change)
            if row is not None:
                count, octets = count - 1, octets - row[2]
            if entry is not None:
                size = _size(change.key, entry.text)
                sql.execute(_PUT, (plugin, change.key, entry.text, entry.expires_ms, size, now_ms))
                count, octets = count + 1, octets + size
            elif row is not None:
                sql.execute(_DELETE, (plugin, change.key))
        if not (count or octets):
            return
        before = before or lock_usage(plugin, "kv")
        count, octets = before[0] + count, before[1] + octets
        if count > most_keys or octets > most_bytes:
            # Full: what has expired goes first.
            gone, freed = self.expired(plugin, now_ms=now_ms)
            sql.execute(_SWEEP, (plugin, now_ms))
            count, octets = count - gone, octets - freed
        check_room(before, (count, octets), most_bytes=most_bytes, most_count=most_keys, store="kv", noun="keys")
        write_usage(plugin, "kv", count, octets)


def _size(key: str, text: str) -> int:
    return len(key.encode()) + len(text.encode())


def _becomes(change: ValueChange) -> Entry | None:
    """What the key becomes if what the call read is still stored; ``None``: that has to be looked up."""
    seen = change.seen
    if seen is None or change.text is None or change.guard not in (ANYTHING, seen.text):
        return None
    return Entry(change.text, change.expires_ms)


def _grows(change: ValueChange) -> int | None:
    """By how many bytes, where it is known without asking."""
    entry = _becomes(change)
    if entry is None or change.seen is None:
        return None
    return len(entry.text.encode()) - len(change.seen.text.encode())


def _replaced(plugin: str, change: ValueChange, now_ms: int) -> bool:
    """Replace what the call read, if it is still what is stored: one statement instead of two.

    A plain value replaces whatever is there, so the size that is known is condition enough; a sum and a guarded value
    need the text itself.
    """
    entry, seen = _becomes(change), change.seen
    if entry is None or seen is None:
        return False
    size = _size(change.key, seen.text)
    values = (entry.text, entry.expires_ms, size + (_grows(change) or 0), now_ms, plugin, change.key, size)
    if change.guard is ANYTHING and change.delta is None:
        found = sql.execute(_REPLACE, values)
    else:
        found = sql.execute(_REPLACE_SEEN, (*values, seen.text, now_ms))
    replaced: bool = found.rowcount > 0
    return replaced


def lock_usage(plugin: str, store: str) -> tuple[int, int]:
    """Count and bytes of a plugin's store, locked until the end of the transaction."""
    query = _USAGE_LOCK if connection.features.has_select_for_update else USAGE
    row = sql.execute(query, (plugin, store)).fetchone()
    if row is None:
        sql.execute(_USAGE_NEW, (plugin, store))
        row = sql.execute(query, (plugin, store)).fetchone()
    return row[0], row[1]


def write_usage(plugin: str, store: str, count: int, octets: int) -> None:
    """Keep what :func:`lock_usage` locked."""
    sql.execute(_USAGE_WRITE, (count, octets, plugin, store))
