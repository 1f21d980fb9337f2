"""Versions by SemVer 2.0.0 and the ranges of ``compatibility``.

A range is comparators joined by commas, all of which must hold: ``>=0.1,<1``. ``^1.2`` and ``~1.2`` mean what npm
means by them. A pre-release satisfies a range only when it compares so: nothing is hidden from ``<2``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SEMVER = re.compile(
    r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})"
    r"(?:-((?:0|[1-9]\d{0,8}|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d{0,8}|\d*[A-Za-z-][0-9A-Za-z-]*))*))?",
    re.ASCII,
)
_PARTIAL = re.compile(r"(0|[1-9]\d{0,8})(?:\.(0|[1-9]\d{0,8}))?(?:\.(0|[1-9]\d{0,8}))?(-[0-9A-Za-z.-]+)?", re.ASCII)
_COMPARATOR = re.compile(r"\s*(>=|<=|==|=|>|<|\^|~)?\s*([0-9][0-9A-Za-z.-]*)\s*", re.ASCII)


@dataclass(frozen=True, order=True)
class Version:
    """An exact version. Compares as SemVer orders; build metadata is not accepted."""

    key: tuple[int, int, int, tuple[tuple[int, int, str], ...]]

    @property
    def is_prerelease(self) -> bool:
        """Whether it carries a pre-release part."""
        return self.key[3] != _RELEASE


#: What stands in place of a pre-release part: later than any of them.
_RELEASE = ((9, 0, ""),)


def parse(text: str) -> Version:
    """An exact ``x.y.z`` or ``x.y.z-pre``.

    Raises:
        ValueError: anything else, also ``v1.0.0``, ``1.0``, leading zeros and build metadata.
    """
    match = _SEMVER.fullmatch(text)
    if match is None or len(text) > 64:
        raise ValueError(f"{text!r} is not an exact version like 1.2.3 or 1.2.3-beta.1")
    major, minor, patch, pre = match.groups()
    return Version((int(major), int(minor), int(patch), _pre(pre)))


def _pre(text: str | None) -> tuple[tuple[int, int, str], ...]:
    if not text:
        return _RELEASE
    # Numbers before words; a shorter list before a longer one with the same beginning (tuples do that).
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in text.split("."))


def sort_key(text: str) -> str:
    """Hexadecimal digits that any database, under any collation, sorts as SemVer orders versions; at most 320.

    Raises:
        ValueError: not a version.
    """
    major, minor, patch, pre = parse(text).key
    # ``!`` ends a part and sorts before everything in one, so that a prefix comes first; ``~`` sorts after it all.
    tail = (
        "~"
        if pre == _RELEASE
        else "!".join(f"0{_number(number)}" if kind == 0 else f"1{word}" for kind, number, word in pre)
    )
    return (_number(major) + _number(minor) + _number(patch) + tail).encode().hex()


def _number(value: int) -> str:
    """Digits after their count: sorts by value."""
    return f"{len(str(value))}{value}"


def satisfies(version: str, wanted: str) -> bool:
    """Whether an exact version lies in a range.

    Raises:
        ValueError: one of them cannot be read.
    """
    return all(low <= parse(version) < high for low, high in _bounds(wanted))


def check_range(wanted: str) -> None:
    """Raises ValueError when the range cannot be read."""
    _bounds(wanted)


_FIRST = Version((0, 0, 0, ((0, 0, ""),)))
_LAST = Version((10**10, 0, 0, _RELEASE))


def _bounds(wanted: str) -> list[tuple[Version, Version]]:
    """Half-open intervals, one a comparator."""
    if not wanted.strip() or len(wanted) > 200:
        raise ValueError("expected a range like >=0.1,<1")
    found = []
    for part in wanted.split(","):
        match = _COMPARATOR.fullmatch(part)
        if match is None:
            raise ValueError(f"{part.strip()!r} is not a comparator like >=0.1")
        found.append(_interval(match[1] or "=", match[2]))
    return found


def _interval(sign: str, text: str) -> tuple[Version, Version]:
    match = _PARTIAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a version")
    major, minor, patch = (int(part) if part is not None else None for part in match.groups()[:3])
    low = Version((major or 0, minor or 0, patch or 0, _pre(match[4][1:] if match[4] else None)))
    if sign in ("<", ">=") and not match[4] and sign == "<":
        # ``<1`` leaves out 1.0.0-beta too: it belongs to 1, not to what came before.
        low = Version((*low.key[:3], ((-1, 0, ""),)))
    above = _after(major or 0, minor, patch, low)
    match sign:
        case ">=":
            return low, _LAST
        case ">":
            return above, _LAST
        case "<":
            return _FIRST, low
        case "<=":
            return _FIRST, above
        case "^":
            if low.key[0] or minor is None:
                return low, _begin(low.key[0] + 1, 0, 0)
            if low.key[1] or patch is None:
                return low, _begin(0, low.key[1] + 1, 0)
            return low, _begin(0, 0, low.key[2] + 1)
        case "~":
            return low, _begin(low.key[0] + 1, 0, 0) if minor is None else _begin(low.key[0], low.key[1] + 1, 0)
        case _:
            return low, above


def _begin(major: int, minor: int, patch: int) -> Version:
    """Before every pre-release of this version."""
    return Version((major, minor, patch, ((-1, 0, ""),)))


def _after(major: int, minor: int | None, patch: int | None, low: Version) -> Version:
    """The first version that is not named by a (possibly partial) version."""
    if minor is None:
        return _begin(major + 1, 0, 0)
    if patch is None:
        return _begin(major, minor + 1, 0)
    if low.is_prerelease:
        return Version((*low.key[:3], (*low.key[3], (-1, 0, ""))))
    return _begin(major, minor, patch + 1)
