"""Lengths of time as declarations write them: ``500ms``, ``5s``, ``2m``, ``1h``, ``1d``, ``1w``, or milliseconds."""

from __future__ import annotations

import re
from typing import Any

_FORM = re.compile(r"([0-9]{1,15})(ms|s|m|h|d|w)")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
#: The last moment of a JavaScript date: nothing lasts longer.
LONGEST = 8_640_000_000_000_000


class DurationError(ValueError):
    """Not a length of time."""


def parse(value: Any) -> int:
    """Whole milliseconds; a number is taken as milliseconds, negative ones too.

    Raises:
        DurationError: another form, not finite, or longer than a date can hold.
    """
    if isinstance(value, str):
        match = _FORM.fullmatch(value)
        if match is None:
            raise DurationError(f'invalid duration "{value[:60]}": expected milliseconds or 500ms, 5s, 2m, 1h, 1d, 1w')
        result = int(match[1]) * _UNITS[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not -LONGEST <= value <= LONGEST:
            raise DurationError("invalid duration: longer than a date can hold")
        result = int(value)
    else:
        raise DurationError(f"invalid duration: expected a number or a text, got {type(value).__name__}")
    if result > LONGEST:
        raise DurationError("invalid duration: longer than a date can hold")
    return result
