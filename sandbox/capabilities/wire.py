"""Strict JSON between host and guest.

The guest's bytes are hostile: UTF-8 is decoded strictly, and duplicate keys, ``NaN``, numbers outside of 64 bits or of
a double, lone surrogates and deep nesting are refused, so that every value a handler sees can be stored and sent on.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

#: How deep arrays and objects may be nested where nothing else is said.
MAX_DEPTH = 64
#: Longest number literal: enough for every double and every 64-bit integer.
_MAX_DIGITS = 32
_SPACE = " \t\n\r"


class Encoded(str):
    """JSON text that a handler gives as it was stored, so that it need not be read and written again."""

    __slots__ = ()


class WireError(ValueError):
    """The bytes are not strict JSON; the message says why, without quoting them."""


def decode(data: bytes, *, depth: int = MAX_DEPTH) -> Any:
    """Read one JSON value.

    Raises:
        WireError: see the module's docstring.
    """
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise WireError(f"The request is not UTF-8 (byte {error.start}).") from None
    return decode_text(text, depth=depth)


def decode_text(text: str, *, depth: int = MAX_DEPTH) -> Any:
    """As :func:`decode`, from text."""
    if text.count("[") + text.count("{") > depth and _depth(text) > depth:
        raise WireError(f"The value is nested deeper than {depth} levels.")
    text = text.strip(_SPACE)
    try:
        value, end = _DECODER.raw_decode(text)
    except WireError:
        raise
    except (ValueError, RecursionError):
        raise WireError("The request is not valid JSON.") from None
    if end != len(text):
        raise WireError("The request is not valid JSON.")
    # Only an escape can put half a surrogate pair into text that was valid UTF-8.
    if "\\u" in text and ("\\ud" in text or "\\uD" in text):
        try:
            encode(value).encode("utf-8")
        except UnicodeEncodeError:
            raise WireError("A string holds half of a surrogate pair.") from None
    return value


def encode(value: Any) -> str:
    """Compact JSON text; keys keep their order.

    Raises:
        ValueError: the value holds ``NaN`` or an infinity.
        TypeError: the value is not made of JSON's types.
    """
    return str(value) if type(value) is int else _ENCODER.encode(value)


def canonical(value: Any) -> str:
    """JSON text with sorted keys, for comparison."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise WireError("An object names a key twice.")
    return value


def _integer(literal: str) -> int:
    if len(literal) > _MAX_DIGITS or not -(1 << 63) <= (number := int(literal)) < 1 << 64:
        raise WireError("A whole number does not fit 64 bits.")
    return number


def _float(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise WireError("A number does not fit a double.")
    return number


def _constant(literal: str) -> NoReturn:
    raise WireError(f"{literal} is not JSON.")


def _depth(text: str) -> int:
    deepest = depth = 0
    inside = escaped = False
    for character in text:
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=_constant, strict=True
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
