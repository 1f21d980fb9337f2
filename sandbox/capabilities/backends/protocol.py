"""What a backend offers the capabilities. Every store is divided by plugin name, on the host's side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from sandbox.capabilities.queries import Query
    from sandbox.outcome import HostCall


class _Anything:
    def __repr__(self) -> str:
        return "ANYTHING"


#: A change without a guard: whatever is stored is replaced.
ANYTHING: Final = _Anything()


class Entry(NamedTuple):
    """A stored value: JSON text, and when it ends (milliseconds since 1970) or ``None``."""

    text: str
    expires_ms: int | None


@dataclass(frozen=True, slots=True)
class ValueChange:
    """What a call did to one key."""

    key: str
    #: JSON text; ``None`` removes the key.
    text: str | None
    expires_ms: int | None
    #: The JSON text that must still be stored (``None``: nothing); ``ANYTHING``: no condition.
    guard: str | _Anything | None = ANYTHING
    #: Add this to whatever whole number is stored, instead of replacing it.
    delta: int | None = None
    #: What the call read under this key; ``None``: it did not read it, or there was nothing.
    seen: Entry | None = None


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A stored file. ``file`` is its name in the storage, chosen by the host."""

    name: str
    size: int
    content_type: str
    sha256: str
    file: str = ""


class Recorded(Protocol):
    """Answers host calls from a tape."""

    def answer(self, family: str, request: bytes) -> HostCall: ...


class Values(Protocol):
    """The store of ``kv``."""

    def get(self, plugin: str, key: str, *, now_ms: int) -> Entry | None: ...

    def scan(self, plugin: str, prefix: str, after: str | None, limit: int, *, now_ms: int) -> list[tuple[str, Entry]]:
        """Live entries in byte order of their keys."""
        ...

    def expired(self, plugin: str, *, now_ms: int) -> tuple[int, int]:
        """Count and bytes of what has expired and is still counted."""
        ...

    def apply(
        self, plugin: str, changes: Sequence[ValueChange], *, most_bytes: int, most_keys: int, now_ms: int
    ) -> None:
        """Apply the changes of one call, inside the session's transaction.

        Raises:
            CommitConflict, CommitQuotaExceeded: the transaction must be rolled back.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Message:
    """A mail to be sent."""

    to: tuple[str, ...]
    subject: str
    text: str
    html: str = ""


@dataclass(frozen=True, kw_only=True)
class Wake:
    """A time a plugin set for itself."""

    name: str
    #: Milliseconds since 1970.
    at_ms: int
    #: JSON text.
    data: str


class DocumentStore(Protocol):
    """The store of ``documents``. ``fields`` are the declared indexes of the collection."""

    def get(self, plugin: str, collection: str, key: str) -> str | None: ...

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
        """``(encoded order value, id, JSON text)`` in the query's order, from behind its cursor."""
        ...

    def count(
        self, plugin: str, collection: str, query: Query, *, excluded: Sequence[str], fields: Sequence[str]
    ) -> int: ...

    def apply(
        self,
        plugin: str,
        changes: Sequence[tuple[str, str, str | None]],
        *,
        indexes: Mapping[str, Sequence[str]],
        most_bytes: int,
        most_count: int,
        now_ms: int,
    ) -> None: ...


class ObjectStore(Protocol):
    """The store of ``object``: records with a lease each."""

    def take(self, plugin: str, key: str, owner: str, *, seconds: float) -> tuple[bool, str | None]:
        """Lease a record, whether it has a value or not: ``(taken, JSON text or None)``. Does not wait."""
        ...

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
        """Raises ``CommitConflict`` when a lease was lost."""
        ...

    def release(self, plugin: str, keys: Sequence[str], owner: str) -> None: ...


class BlobStore(Protocol):
    """The store of ``blobs``."""

    def head(self, plugin: str, name: str) -> Blob | None: ...

    def scan(self, plugin: str, prefix: str, after: str | None, limit: int) -> list[Blob]: ...

    def read(self, blob: Blob) -> bytes: ...

    def write(self, plugin: str, blob: Blob, data: bytes) -> Blob:
        """Before the transaction: the bytes under a new name."""
        ...

    def remove(self, file: str) -> None: ...

    def apply(
        self, plugin: str, changes: Mapping[str, Blob | None], *, most_bytes: int, most_count: int, now_ms: int
    ) -> list[str]:
        """Gives the files that no row names any more."""
        ...


class Backend(Protocol):
    """All stores, one transaction over them, and the hourly counts."""

    @property
    def recorded(self) -> Recorded | None:
        """Set while a tape is replayed: host calls are answered from it and nothing is stored."""
        ...

    @property
    def values(self) -> Values: ...

    @property
    def documents(self) -> DocumentStore: ...

    @property
    def objects(self) -> ObjectStore: ...

    @property
    def blobs(self) -> BlobStore: ...

    def secret(self, plugin: str, name: str) -> str | None:
        """The value of a secret, for the host's own use."""
        ...

    def secret_names(self, plugin: str) -> set[str]: ...

    def queue_mail(self, plugin: str, call: str, messages: Sequence[Message]) -> None: ...

    def wakes(self, plugin: str) -> list[Wake]: ...

    def set_wakes(self, plugin: str, changes: Mapping[str, Wake | None], *, most: int) -> None: ...

    def after_commit(self, kind: str) -> None:
        """Tell whoever acts on rows of this kind that there are some."""
        ...

    def transaction(self) -> AbstractContextManager[Any]:
        """Everything inside is applied, or nothing."""
        ...

    def usage(self, plugin: str, store: str) -> tuple[int, int]:
        """Count and bytes of what a plugin keeps in a store, including what has expired and was not swept yet."""
        ...

    def charge(self, plugin: str, meter: str, amount: int, limit: int, *, now_ms: int) -> bool:
        """Count an hourly quantity at once; ``False`` and nothing counted when it would pass ``limit``.

        Correct under concurrency. What is counted stays counted, whatever becomes of the call.
        """
        ...
