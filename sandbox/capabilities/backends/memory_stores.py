"""The larger stores in memory: documents, records, files, secrets, mail and wake times."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from sandbox.capabilities.backends.protocol import Blob, Message, Wake
from sandbox.capabilities.backends.room import check_room
from sandbox.capabilities.documents import matching
from sandbox.capabilities.faults import CommitConflict
from sandbox.capabilities.queries import Query

Undo = Callable[[Callable[[], None]], None]


class MemoryDocuments:
    """The store of ``documents``."""

    def __init__(self, undo: Undo) -> None:
        self._undo = undo
        self.rows: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)

    def get(self, plugin: str, collection: str, key: str) -> str | None:
        return self.rows[plugin].get((collection, key))

    def find(
        self,
        plugin: str,
        collection: str,
        query: Query,
        limit: int,
        *,
        excluded: Sequence[str],
        fields: Sequence[str],
    ) -> list[tuple[str, str, str]]:
        found = [
            row
            for (name, key), text in list(self.rows[plugin].items())
            if name == collection and key not in excluded and (row := matching(key, text, query, fields)) is not None
        ]
        return sorted(found, key=lambda row: row[:2], reverse=query.descending)[:limit]

    def count(
        self, plugin: str, collection: str, query: Query, *, excluded: Sequence[str], fields: Sequence[str]
    ) -> int:
        return len(self.find(plugin, collection, query, 1 << 30, excluded=excluded, fields=fields))

    def usage(self, plugin: str) -> tuple[int, int]:
        return len(self.rows[plugin]), sum(len(text.encode()) for text in list(self.rows[plugin].values()))

    def apply(
        self,
        plugin: str,
        changes: Sequence[tuple[str, str, str | None]],
        *,
        indexes: Mapping[str, Sequence[str]],
        most_bytes: int,
        most_count: int,
        now_ms: int,
    ) -> None:
        before, old = self.usage(plugin), dict(self.rows[plugin])
        self._undo(lambda: self.rows.__setitem__(plugin, old))
        for collection, key, text in changes:
            if text is None:
                self.rows[plugin].pop((collection, key), None)
            else:
                self.rows[plugin][collection, key] = text
        check_room(
            before,
            self.usage(plugin),
            most_bytes=most_bytes,
            most_count=most_count,
            store="documents",
            noun="documents",
        )


class MemoryObjects:
    """The store of ``object``."""

    def __init__(self, undo: Undo, lock: AbstractContextManager[Any]) -> None:
        self._undo = undo
        self._lock = lock
        self.rows: dict[str, dict[str, str]] = defaultdict(dict)
        self._leases: dict[tuple[str, str], tuple[str, float]] = {}

    def take(self, plugin: str, key: str, owner: str, *, seconds: float) -> tuple[bool, str | None]:
        with self._lock:
            holder, until = self._leases.get((plugin, key), ("", 0.0))
            if holder and holder != owner and until > time.monotonic():
                return False, None
            self._leases[plugin, key] = (owner, time.monotonic() + seconds)
            return True, self.rows[plugin].get(key)

    def usage(self, plugin: str) -> tuple[int, int]:
        rows = self.rows[plugin]
        return len(rows), sum(len(key.encode()) + len(text.encode()) for key, text in rows.items())

    def apply(
        self,
        plugin: str,
        changes: Mapping[str, str | None],
        *,
        owner: str,
        most_bytes: int,
        most_count: int,
        now_ms: int,
    ) -> None:
        before, old = self.usage(plugin), dict(self.rows[plugin])
        self._undo(lambda: self.rows.__setitem__(plugin, old))
        for key, text in changes.items():
            if self._leases.get((plugin, key), ("", 0.0))[0] != owner:
                raise CommitConflict
            if text is None:
                self.rows[plugin].pop(key, None)
            else:
                self.rows[plugin][key] = text
        check_room(
            before, self.usage(plugin), most_bytes=most_bytes, most_count=most_count, store="object", noun="records"
        )

    def release(self, plugin: str, keys: Sequence[str], owner: str) -> None:
        with self._lock:
            for key in keys:
                if self._leases.get((plugin, key), ("", 0.0))[0] == owner:
                    del self._leases[plugin, key]


class MemoryBlobs:
    """The store of ``blobs``."""

    def __init__(self, undo: Undo) -> None:
        self._undo = undo
        self.rows: dict[str, dict[str, Blob]] = defaultdict(dict)
        self.files: dict[str, bytes] = {}
        self._made = 0

    def head(self, plugin: str, name: str) -> Blob | None:
        return self.rows[plugin].get(name)

    def scan(self, plugin: str, prefix: str, after: str | None, limit: int) -> list[Blob]:
        names = sorted(
            name for name in list(self.rows[plugin]) if name.startswith(prefix) and (after is None or name > after)
        )
        return [self.rows[plugin][name] for name in names[:limit]]

    def read(self, blob: Blob) -> bytes:
        return self.files[blob.file]

    def write(self, plugin: str, blob: Blob, data: bytes) -> Blob:
        self._made += 1
        file = f"{plugin}/{self._made}"
        self.files[file] = data
        return replace(blob, file=file)

    def remove(self, file: str) -> None:
        self.files.pop(file, None)

    def usage(self, plugin: str) -> tuple[int, int]:
        return len(self.rows[plugin]), sum(blob.size for blob in self.rows[plugin].values())

    def apply(
        self, plugin: str, changes: Mapping[str, Blob | None], *, most_bytes: int, most_count: int, now_ms: int
    ) -> list[str]:
        before, old = self.usage(plugin), dict(self.rows[plugin])
        self._undo(lambda: self.rows.__setitem__(plugin, old))
        gone = [old[name].file for name in changes if name in old]
        for name, blob in changes.items():
            if blob is None:
                self.rows[plugin].pop(name, None)
            else:
                self.rows[plugin][name] = blob
        check_room(
            before, self.usage(plugin), most_bytes=most_bytes, most_count=most_count, store="blobs", noun="files"
        )
        return gone


class MemoryRest:
    """Secrets, mail and wake times."""

    def __init__(self, undo: Undo) -> None:
        self._undo = undo
        self.secrets: dict[tuple[str, str], str] = {}
        self.mail: list[tuple[str, Message]] = []
        self.wake_rows: dict[str, dict[str, Wake]] = defaultdict(dict)

    def queue_mail(self, plugin: str, messages: Sequence[Message]) -> None:
        kept = len(self.mail)
        self._undo(lambda: self.mail.__delitem__(slice(kept, None)))
        self.mail += [(plugin, message) for message in messages]

    def set_wakes(self, plugin: str, changes: Mapping[str, Wake | None], *, most: int) -> None:
        before, old = (len(self.wake_rows[plugin]), 0), dict(self.wake_rows[plugin])
        self._undo(lambda: self.wake_rows.__setitem__(plugin, old))
        for name, wake in changes.items():
            self.wake_rows[plugin].pop(name, None)
            if wake is not None:
                self.wake_rows[plugin][name] = wake
        after = (len(self.wake_rows[plugin]), 0)
        check_room(before, after, most_bytes=0, most_count=most, store="schedule", noun="wake times")
