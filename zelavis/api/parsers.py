"""Request bodies: JSON, strictly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

#: Deeper nesting than this is refused: nothing here needs it, and recursion is not free.
MAX_DEPTH = 64


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is too large")
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            break
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, (dict, list))
        ]
    return depth


def loads(raw: bytes) -> Any:
    """Parse one JSON text.

    Raises:
        ValueError: not UTF-8, not JSON, a number that is not finite, a lone surrogate, a NUL, or nested deeper than 64.
    """
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH}") from None
    if _depth(value) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    # A database text column takes neither; find them now rather than halfway through a write.
    if b"\\u" in raw or b"\x00" in raw:
        text = json.dumps(value, ensure_ascii=False)
        if "\\u0000" in text:
            raise ValueError("a string holds NUL")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("a string holds a lone surrogate") from None
    return value


class StrictJSONParser(BaseParser):
    """``application/json`` by :func:`loads`."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        request = (parser_context or {})["request"]
        try:
            # `.body` and not the stream: Django applies its size limit there.
            return loads(request._request.body)
        except ValueError as error:
            raise ParseError(f"The request body is not valid JSON: {error}") from None
