"""A backend in memory: for author commands, tests, and processes without a database.

One lock around each transaction; a failed transaction is undone from a copy of what it touched.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from sandbox.capabilities import wire
from sandbox.capabilities.arguments import SAFE_INTEGER
from sandbox.capabilities.backends.memory_stores import MemoryBlobs, MemoryDocuments, MemoryObjects, MemoryRest
from sandbox.capabilities.backends.protocol import ANYTHING, Entry, Message, Recorded, ValueChange, Wake
from sandbox.capabilities.backends.room import check_room
from sandbox.capabilities.faults import CommitConflict

HOUR_MS = 3_600_000


class MemoryValues:
    """The store of ``kv``."""

    def __init__(self, backend: MemoryBackend) -> None:
        self._backend = backend
        self._rows: dict[str, dict[str, Entry]] = defaultdict(dict)
        #: Bytes of keys and values, and the keys that end some time, so that no call looks at all of them.
        self._bytes: dict[str, int] = defaultdict(int)
        self._ending: dict[str, set[str]] = defaultdict(set)

    def get(self, plugin: str, key: str, *, now_ms: int) -> Entry | None:
        return _live(self._rows[plugin].get(key), now_ms)

    def scan(self, plugin: str, prefix: str, after: str | None, limit: int, *, now_ms: int) -> list[tuple[str, Entry]]:
        rows = self._rows[plugin]
        found = sorted(
            key
            for key, entry in list(rows.items())
            if key.startswith(prefix) and (after is None or key > after) and _live(entry, now_ms)
        )
        return [(key, rows[key]) for key in found[:limit]]

    def apply(
        self, plugin: str, changes: Sequence[ValueChange], *, most_bytes: int, most_keys: int, now_ms: int
    ) -> None:
        rows = self._rows[plugin]
        before = self.usage(plugin)
        for key in [key for key in self._ending[plugin] if not _live(rows[key], now_ms)]:
            self._put(plugin, key, None)
        for change in changes:
            self._put(plugin, change.key, changed(rows.get(change.key), change))
        check_room(before, self.usage(plugin), most_bytes=most_bytes, most_count=most_keys, store="kv", noun="keys")

    def _put(self, plugin: str, key: str, entry: Entry | None) -> None:
        old = self._rows[plugin].get(key)
        self._backend.undo(lambda: self._place(plugin, key, old))
        self._place(plugin, key, entry)

    def _place(self, plugin: str, key: str, entry: Entry | None) -> None:
        rows = self._rows[plugin]
        old = rows.pop(key, None)
        if old is not None:
            self._bytes[plugin] -= _size(key, old)
            self._ending[plugin].discard(key)
        if entry is not None:
            rows[key] = entry
            self._bytes[plugin] += _size(key, entry)
            if entry.expires_ms is not None:
                self._ending[plugin].add(key)

    def expired(self, plugin: str, *, now_ms: int) -> tuple[int, int]:
        rows = self._rows[plugin]
        gone = [(key, entry) for key in list(self._ending[plugin]) if (entry := rows.get(key)) is not None]
        sizes = [_size(key, entry) for key, entry in gone if not _live(entry, now_ms)]
        return len(sizes), sum(sizes)

    def usage(self, plugin: str) -> tuple[int, int]:
        return len(self._rows[plugin]), self._bytes[plugin]

    def all(self, plugin: str) -> dict[str, str]:
        """Every key with its JSON text, for author commands."""
        return {key: entry.text for key, entry in sorted(self._rows[plugin].items())}


class MemoryBackend:
    """Everything in dictionaries; gone with the process."""

    def __init__(self, *, recorded: Recorded | None = None) -> None:
        self.recorded = recorded
        self.lock = threading.RLock()
        self.values = MemoryValues(self)
        self.documents = MemoryDocuments(self.undo)
        self.objects = MemoryObjects(self.undo, self.lock)
        self.blobs = MemoryBlobs(self.undo)
        self.rest = MemoryRest(self.undo)
        self._meters: dict[tuple[str, str, int], int] = defaultdict(int)
        self._undo: list[Callable[[], None]] = []

    def undo(self, action: Callable[[], None]) -> None:
        """Do this when the present transaction fails."""
        self._undo.append(action)

    def transaction(self) -> _Transaction:
        return _Transaction(self)

    def undone(self) -> list[Callable[[], None]]:
        """What the present transaction noted, newest first; and from now on a new one."""
        actions, self._undo = self._undo[::-1], []
        return actions

    def usage(self, plugin: str, store: str) -> tuple[int, int]:
        stores: dict[str, Callable[[str], tuple[int, int]]] = {
            "kv": self.values.usage,
            "documents": self.documents.usage,
            "object": self.objects.usage,
            "blobs": self.blobs.usage,
        }
        return stores[store](plugin)

    def secret(self, plugin: str, name: str) -> str | None:
        return self.rest.secrets.get((plugin, name))

    def secret_names(self, plugin: str) -> set[str]:
        return {name for owner, name in self.rest.secrets if owner == plugin}

    def queue_mail(self, plugin: str, call: str, messages: Sequence[Message]) -> None:
        self.rest.queue_mail(plugin, messages)

    def wakes(self, plugin: str) -> list[Wake]:
        return list(self.rest.wake_rows[plugin].values())

    def set_wakes(self, plugin: str, changes: Mapping[str, Wake | None], *, most: int) -> None:
        self.rest.set_wakes(plugin, changes, most=most)

    def after_commit(self, kind: str) -> None:
        """Nobody acts on what is only in memory."""

    def charge(self, plugin: str, meter: str, amount: int, limit: int, *, now_ms: int) -> bool:
        with self.lock:
            slot = (plugin, meter, now_ms // HOUR_MS)
            if self._meters[slot] + amount > limit:
                return False
            self._meters[slot] += amount
            return True


class _Transaction:
    """The lock of a backend, and what is undone when it fails."""

    __slots__ = ("_backend",)

    def __init__(self, backend: MemoryBackend) -> None:
        self._backend = backend

    def __enter__(self) -> None:
        self._backend.lock.acquire()
        self._backend.undone()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is not None:
                for action in self._backend.undone():
                    action()
        finally:
            self._backend.lock.release()


def _size(key: str, entry: Entry) -> int:
    return len(key.encode()) + len(entry.text.encode())


def _live(entry: Entry | None, now_ms: int) -> Entry | None:
    if entry is None or (entry.expires_ms is not None and entry.expires_ms <= now_ms):
        return None
    return entry


def changed(entry: Entry | None, change: ValueChange) -> Entry | None:
    """What a live entry becomes.

    Raises:
        CommitConflict: the guard does not hold, or a counter is none any more.
    """
    if change.guard is not ANYTHING and (None if entry is None else entry.text) != change.guard:
        raise CommitConflict("Another call changed a key that this one rested on.")
    if change.delta is None:
        return None if change.text is None else Entry(change.text, change.expires_ms)
    stored = 0 if entry is None else wire.decode_text(entry.text)
    if isinstance(stored, float) and stored.is_integer():
        stored = int(stored)
    if not isinstance(stored, int) or isinstance(stored, bool):
        raise CommitConflict("Another call replaced a counter that this one added to.")
    total = stored + change.delta
    if abs(total) > SAFE_INTEGER:
        raise CommitConflict("Together with another call the sum is beyond what JavaScript counts exactly.")
    return Entry(str(total), change.expires_ms)
