"""A backend in memory: for author commands, tests, and processes without a database.

One lock around each transaction; a failed transaction is undone from a copy of what it touched.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sandbox.capabilities import wire
from sandbox.capabilities.backends.memory_stores import MemoryBlobs, MemoryDocuments, MemoryObjects, MemoryRest
from sandbox.capabilities.backends.protocol import ANYTHING, Entry, Message, Recorded, ValueChange, Wake
from sandbox.capabilities.backends.room import check_room
from sandbox.capabilities.faults import CommitConflict, CommitQuotaExceeded

HOUR_MS = 3_600_000


class MemoryValues:
    """The store of ``kv``."""

    def __init__(self, backend: MemoryBackend) -> None:
        self._backend = backend
        self._rows: dict[str, dict[str, Entry]] = defaultdict(dict)

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
        old = dict(rows)
        self._backend.undo(lambda: self._rows.__setitem__(plugin, old))
        before = self.usage(plugin)
        for key in [key for key, entry in rows.items() if not _live(entry, now_ms)]:
            del rows[key]
        for change in changes:
            entry = changed(rows.get(change.key), change)
            if entry is None:
                rows.pop(change.key, None)
            else:
                rows[change.key] = entry
        check_room(before, self.usage(plugin), most_bytes=most_bytes, most_count=most_keys, store="kv", noun="keys")

    def expired(self, plugin: str, *, now_ms: int) -> tuple[int, int]:
        gone = {key: entry for key, entry in list(self._rows[plugin].items()) if not _live(entry, now_ms)}
        return len(gone), sum(len(key.encode()) + len(entry.text.encode()) for key, entry in gone.items())

    def usage(self, plugin: str) -> tuple[int, int]:
        rows = self._rows[plugin]
        # A copy in one step: other threads may write meanwhile.
        entries = list(rows.items())
        return len(entries), sum(len(key.encode()) + len(entry.text.encode()) for key, entry in entries)

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

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.lock:
            self._undo = []
            try:
                yield
            except BaseException:
                for action in reversed(self._undo):
                    action()
                raise

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

    def used(self, plugin: str, meter: str, limit: int, *, now_ms: int) -> int:
        return self._meters[plugin, meter, now_ms // HOUR_MS]

    def charge(self, plugin: str, meter: str, amount: int, limit: int, *, now_ms: int) -> bool:
        with self.lock:
            slot = (plugin, meter, now_ms // HOUR_MS)
            if self._meters[slot] + amount > limit:
                return False
            self._meters[slot] += amount
            return True

    def settle(self, plugin: str, charges: Mapping[str, tuple[int, int]], *, now_ms: int, strict: bool = True) -> None:
        with self.lock:
            old = dict(self._meters)
            for meter, (amount, limit) in charges.items():
                slot = (plugin, meter, now_ms // HOUR_MS)
                if strict and self._meters[slot] + amount > limit:
                    self._meters = defaultdict(int, old)
                    raise CommitQuotaExceeded(f"{meter}: {limit} an hour are used up.")
                self._meters[slot] += amount
            self.undo(lambda: setattr(self, "_meters", defaultdict(int, old)))


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
    return Entry(str(stored + change.delta), change.expires_ms)
