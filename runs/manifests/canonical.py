"""The identity of an event: a hash of its data that JavaScript and Python agree on, byte by byte.

The tenants' SDK writes canonical JSON with ``JSON.stringify``, so numbers, key order and escapes are JavaScript's.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from runs.jsontext import ABSENT

_quote = json.JSONEncoder(ensure_ascii=False).encode
#: Keys that JavaScript objects hold first, in numeric order, however they were put in.
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")


def canonical_json(value: Any) -> str:
    """JSON text with sorted keys; absent becomes ``null``."""
    if value is None or value is ABSENT:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, Mapping):
        members = (f"{_quote(key)}:{canonical_json(value[key])}" for key in sorted(value, key=_rank))
        return "{" + ",".join(members) + "}"
    return "[" + ",".join(canonical_json(item) for item in value) + "]"


def number(value: float) -> str:
    """A number as JavaScript prints it: every number is a double there."""
    try:
        double = float(value)
    except OverflowError:
        double = math.inf
    if not math.isfinite(double):
        return "null"
    if double == 0:
        return "0"
    sign = "-" if double < 0 else ""
    mantissa, _, power = repr(abs(double)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    #: The value is 0.DIGITS × 10^point.
    point = len(whole) + int(power or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    exponent = point - 1
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if exponent > 0 else '-'}{abs(exponent)}"


def event_id(name: str, emitted_at: str, data: Any, metadata: Mapping[str, Any] | None = None) -> str:
    """``metadata.eventId``, or one derived from name, time and data: a redelivered event has the same."""
    given = (metadata or {}).get("eventId")
    if isinstance(given, str) and given:
        return given
    digest = hashlib.sha256(canonical_json(data).encode()).hexdigest()[:12]
    safe_name = re.sub(r"[^a-zA-Z0-9._-]", "_", _units(name))
    safe_time = re.sub(r"[^a-zA-Z0-9.]", "_", _units(emitted_at))
    return f"evt_{safe_name}_{safe_time}_{digest}"


def _rank(key: str) -> tuple[int, int, bytes]:
    """Where a key stands in a JavaScript object whose keys were put in sorted."""
    if _INDEX.fullmatch(key) and int(key) < 2**32 - 1:
        return (0, int(key), b"")
    return (1, 0, key.encode("utf-16-be", "surrogatepass"))


def _units(text: str) -> str:
    """Characters outside the basic plane count twice in JavaScript."""
    return "".join("??" if ord(character) > 0xFFFF else character for character in text)
