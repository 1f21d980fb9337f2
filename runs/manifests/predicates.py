"""``where`` of an event filter: a closed language over an event's envelope; nothing of it is executed as code.

``eq neq gt gte lt lte`` take ``[side, side]``, ``in`` takes ``[side, [side…]]``, ``exists`` a side, ``not`` a
predicate, ``and`` and ``or`` lists of them; a side is ``{"path": "data.items[0].id"}`` or ``{"lit": value}``. Nothing
is converted: values of different types are neither equal nor ordered, objects and lists equal nothing, and what is not
there makes every comparison false but ``neq``.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from runs.jsontext import ABSENT

ROOTS = ("data", "metadata", "name", "emittedAt")
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_INDEX = re.compile(r"\s*(?:([0-9]+)(?:\.0*)?)?\s*")


class PredicateError(ValueError):
    """The predicate itself is malformed."""


def evaluate(predicate: Any, envelope: Mapping[str, Any]) -> bool:
    """Whether ``envelope`` (``{name, data?, metadata?, emittedAt}``) fits.

    Raises:
        PredicateError: an unknown operator, or an operand of a wrong form.
    """
    if not isinstance(predicate, Mapping):
        raise PredicateError(f"a predicate is an object, not {_show(predicate)}")
    if "eq" in predicate:
        return equal(*_sides(predicate["eq"], envelope))
    if "neq" in predicate:
        return not equal(*_sides(predicate["neq"], envelope))
    if "in" in predicate:
        left, candidates = _pair(predicate["in"])
        if not isinstance(candidates, list):
            raise PredicateError("`in` takes [side, [side, …]]")
        value = resolve_side(left, envelope)
        return any([equal(value, resolve_side(side, envelope)) for side in candidates])  # noqa: C419  all are checked
    for name, compare in _ORDER.items():
        if name in predicate:
            return _ordered(compare, *_sides(predicate[name], envelope))
    if "exists" in predicate:
        return resolve_side(predicate["exists"], envelope) is not ABSENT
    if "not" in predicate:
        return not evaluate(predicate["not"], envelope)
    for name, combine in (("and", all), ("or", any)):
        if name in predicate:
            parts = predicate[name]
            if not isinstance(parts, list):
                raise PredicateError(f"`{name}` takes a list of predicates")
            return combine(evaluate(part, envelope) for part in parts)
    raise PredicateError(f"unknown predicate operator: {_show(predicate)}")


def resolve_side(side: Any, envelope: Mapping[str, Any]) -> Any:
    """The value of ``{path}`` or ``{lit}``; ``ABSENT`` when there is none."""
    if isinstance(side, list):
        return ABSENT
    if not isinstance(side, Mapping):
        raise PredicateError(f"a side is {{path}} or {{lit}}, not {_show(side)}")
    if "lit" in side:
        return side["lit"]
    return resolve_path(side["path"], envelope) if "path" in side else ABSENT


def resolve_path(path: Any, envelope: Mapping[str, Any]) -> Any:
    """What stands at ``data.items[0].id``; ``ABSENT`` when nothing does, or the path is malformed."""
    segments = split_path(path)
    if not segments or segments[0] not in ROOTS:
        return ABSENT
    value = envelope.get(str(segments[0]), ABSENT)
    for segment in segments[1:]:
        if isinstance(value, list):
            value = _of_list(value, segment)
        elif isinstance(value, Mapping) and isinstance(segment, str):
            value = value.get(segment, ABSENT)
        else:
            return ABSENT
    return value


def split_path(path: Any) -> list[str | int]:
    """Names as text, ``[n]`` as numbers; empty when malformed. Empty names between dots are passed over."""
    if not isinstance(path, str):
        return []
    segments: list[str | int] = []
    for part in re.split(r"(\[[^\]]*\]?)", path):
        if not part.startswith("["):
            segments += [name for name in part.split(".") if name]
            continue
        match = _INDEX.fullmatch(part[1:-1]) if part.endswith("]") and len(part) > 1 else None
        if match is None:
            return []
        digits = (match[1] or "").lstrip("0") or "0"
        # No list is so long, and Python does not read a number of any length.
        segments.append(int(digits) if len(digits) <= 15 else 10**15)
    return segments


def equal(left: Any, right: Any) -> bool:
    """Equal primitives of one type. ``null`` equals ``null``; what is absent, an object or a list equals nothing."""
    kind = _kind(left)
    return kind is not None and kind == _kind(right) and left == right


def _ordered(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    kind = _kind(left)
    if kind != _kind(right) or kind not in ("number", "string"):
        return False
    if kind == "string":
        # By UTF-16 units, as the tenants' language orders texts.
        return compare(left.encode("utf-16-be", "surrogatepass"), right.encode("utf-16-be", "surrogatepass"))
    return compare(left, right)


def _kind(value: Any) -> str | None:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else None


def _of_list(value: list[Any], segment: str | int) -> Any:
    if segment == "length":
        return len(value)
    if isinstance(segment, str):
        if not re.fullmatch(r"0|[1-9][0-9]{0,9}", segment):
            return ABSENT
        segment = int(segment)
    return value[segment] if segment < len(value) else ABSENT


def _sides(operands: Any, envelope: Mapping[str, Any]) -> tuple[Any, Any]:
    left, right = _pair(operands)
    return resolve_side(left, envelope), resolve_side(right, envelope)


def _pair(operands: Any) -> tuple[Any, Any]:
    if not isinstance(operands, list) or len(operands) < 2:
        raise PredicateError(f"expected two sides, not {_show(operands)}")
    return operands[0], operands[1]


def _show(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)[:200]
