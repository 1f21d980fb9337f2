"""JSON kept as ordered text, with "absent" told apart from ``null``.

Key order carries meaning in a journal (the order in which steps completed), and ``jsonb`` does not keep it;
so documents are text columns, written and read here.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final


class Absent:
    """The value of a member that is not there; ``null`` is a value."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = Absent()

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def dumps(value: Any) -> str:
    """Compact JSON text in insertion order.

    Raises:
        ValueError: NaN or an infinity.
        TypeError: not a JSON value.
    """
    return _encode(value)


def text_or_none(value: Any) -> str | None:
    """The column of a value that may be absent."""
    return None if value is ABSENT else _encode(value)


def value_or_absent(text: str | None) -> Any:
    """What :func:`text_or_none` wrote."""
    return ABSENT if text is None else json.loads(text)


loads = json.loads


def copied(value: Any) -> Any:
    """The value as it comes back from the journal, and nobody else's: what is done to it changes no other."""
    return loads(dumps(value)) if isinstance(value, list | dict | tuple) else value


def checked(value: Any) -> Any:
    """A copy of what an author gives to be kept.

    Raises:
        ValueError, TypeError: it is not JSON, or holds a text that is not Unicode.
    """
    text = dumps(value)
    text.encode("utf-8")
    return loads(text)


def canonical(value: Any) -> str:
    """The same text for equal values: keys sorted at every level, absent as ``null``."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=_absent_as_null)


def _absent_as_null(value: Any) -> None:
    if value is not ABSENT:
        raise TypeError(f"{type(value).__name__} is not a JSON value")


def fingerprint(value: Any) -> str:
    """SHA-256 of the canonical text, in hex: tells whether two requests ask for the same."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
