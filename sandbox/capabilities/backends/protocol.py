"""What a backend offers the capabilities. Every store is divided by plugin name, on the host's side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
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


class Backend(Protocol):
    """All stores, one transaction over them, and the hourly counts."""

    @property
    def recorded(self) -> Recorded | None:
        """Set while a tape is replayed: host calls are answered from it and nothing is stored."""
        ...

    @property
    def values(self) -> Values: ...

    def transaction(self) -> AbstractContextManager[Any]:
        """Everything inside is applied, or nothing."""
        ...

    def usage(self, plugin: str, store: str) -> tuple[int, int]:
        """Count and bytes of what a plugin keeps in a store, including what has expired and was not swept yet."""
        ...

    def used(self, plugin: str, meter: str, limit: int, *, now_ms: int) -> int:
        """How much of an hourly quantity is used. May be a moment old unless ``limit`` is reached."""
        ...

    def charge(self, plugin: str, meter: str, amount: int, limit: int, *, now_ms: int) -> bool:
        """Count at once; ``False`` and nothing counted when it would pass ``limit``. Correct under concurrency."""
        ...

    def settle(self, plugin: str, charges: Mapping[str, tuple[int, int]], *, now_ms: int, strict: bool = True) -> None:
        """Count ``{meter: (amount, limit)}``.

        Raises:
            CommitQuotaExceeded: when ``strict`` and a limit would be passed.
        """
        ...
