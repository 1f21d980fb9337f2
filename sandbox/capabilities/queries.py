"""Queries over documents: conditions, order and cursor, with one meaning on every backend.

An indexed value is written as text whose byte order is its order: absent and null, false, true, numbers by size, texts
by their first 200 characters. Conditions and cursors compare these texts, in memory as in the database.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.capabilities import arguments, wire
from sandbox.capabilities.faults import Fault

#: How much of a text is indexed and compared.
INDEXED_CHARACTERS = 200
_TOP = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Condition:
    """One field between two encoded values: ``low <= value`` and ``value <= high`` (strict where said)."""

    field: str
    #: One of the encoded values; ``None``: by range.
    among: tuple[str, ...] | None = None
    low: str | None = None
    high: str | None = None
    low_open: bool = False
    high_open: bool = False

    def holds(self, value: str) -> bool:
        """Whether an encoded value satisfies it."""
        if self.among is not None:
            return value in self.among
        if self.low is not None and (value < self.low or (self.low_open and value == self.low)):
            return False
        return self.high is None or value < self.high or (not self.high_open and value == self.high)


@dataclass(frozen=True, slots=True)
class Query:
    """What to find, in which order, from where."""

    conditions: tuple[Condition, ...]
    #: Indexed field; ``None``: by id.
    order: str | None
    descending: bool
    limit: int
    #: Encoded order value and id of the last document of the page before.
    after: tuple[str, str] | None


def encode(value: Any) -> str:
    """A scalar as text whose byte order is its order. Objects and arrays count as absent."""
    if isinstance(value, bool):
        return "1t" if value else "1f"
    if isinstance(value, (int, float)):
        # The sign bit set, or all bits turned for negatives, makes a double's bits sort as its value.
        bits = struct.unpack(">Q", struct.pack(">d", float(value) + 0.0))[0]
        return f"2{bits ^ ((1 << 64) - 1) if bits >> 63 else bits | (1 << 63):016x}"
    if isinstance(value, str):
        return "3" + value[:INDEXED_CHARACTERS].replace("\x00", "\ufffd")
    return "0"


def encoded(text: str, fields: Sequence[str]) -> dict[str, str]:
    """The indexed values of a document; a dot in a field name goes one object deeper."""
    document = wire.decode_text(text)
    found = {}
    for field in fields:
        value = document
        for step in field.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        found[field] = encode(value)
    return found


def read(options: Mapping[str, Any], fields: Sequence[str]) -> Query:
    """Read ``{where?, orderBy?, direction?, limit?, cursor?}``.

    Raises:
        Fault: ``field_not_indexed``, ``invalid_argument``.
    """
    where = options.get("where") or {}
    if not isinstance(where, dict) or len(where) > 10:
        raise arguments.invalid("where must be an object of at most 10 members.")
    conditions = tuple(condition for field, wanted in where.items() for condition in _conditions(field, wanted, fields))
    order = options.get("orderBy")
    if order is not None:
        _indexed(order, fields)
    direction = options.get("direction", "asc")
    if direction not in ("asc", "desc"):
        raise arguments.invalid("direction must be asc or desc.")
    return Query(
        conditions=conditions,
        order=order,
        descending=direction == "desc",
        limit=arguments.whole(options.get("limit", 50), name="limit", least=1, most=100),
        after=_cursor(options.get("cursor")),
    )


def cursor_of(value: str, document: str) -> str:
    """The cursor behind a document."""
    return base64.urlsafe_b64encode(json.dumps([value, document]).encode()).decode()


def _cursor(given: Any) -> tuple[str, str] | None:
    if given is None:
        return None
    try:
        value, document = wire.decode(base64.urlsafe_b64decode(str(given).encode("ascii")))
    except (ValueError, TypeError):
        raise arguments.invalid("cursor is not one that a query gave.") from None
    if not isinstance(value, str) or not isinstance(document, str) or "\x00" in value + document:
        raise arguments.invalid("cursor is not one that a query gave.")
    return value, document


def _indexed(field: Any, fields: Sequence[str]) -> None:
    if field not in fields:
        shown = field if isinstance(field, str) else "?"
        raise Fault(
            "field_not_indexed", f"{shown[:60]} is not an index of this collection; declare it in the manifest."
        )


def _conditions(field: str, wanted: Any, fields: Sequence[str]) -> list[Condition]:
    _indexed(field, fields)
    if isinstance(wanted, list):
        raise arguments.invalid("A condition is a value or an object of gt, gte, lt, lte, in, startsWith.")
    if not isinstance(wanted, dict):
        return [Condition(field, among=(encode(wanted),))]
    found = []
    for operator, value in wanted.items():
        if operator == "in":
            if not isinstance(value, list) or not 1 <= len(value) <= 50 or any(map(_compound, value)):
                raise arguments.invalid("in takes 1 to 50 plain values.")
            found.append(Condition(field, among=tuple(encode(one) for one in value)))
            continue
        if _compound(value) or value is None:
            raise arguments.invalid("A condition compares with a text, a number or a boolean.")
        text = encode(value)
        # A range stays within the kind of its value: numbers are not below texts.
        if operator in ("gt", "gte"):
            found.append(Condition(field, low=text, low_open=operator == "gt", high=text[0] + _TOP))
        elif operator in ("lt", "lte"):
            found.append(Condition(field, low=text[0], high=text, high_open=operator == "lt"))
        elif operator == "startsWith" and isinstance(value, str):
            found.append(Condition(field, low=text, high=text + _TOP))
        else:
            raise arguments.invalid("A condition is a value or an object of gt, gte, lt, lte, in, startsWith.")
    return found


def _compound(value: Any) -> bool:
    return isinstance(value, (dict, list))
