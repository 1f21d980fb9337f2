"""Reading the arguments of a host call. What does not fit is ``invalid_argument``, with the name of the argument."""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Collection, Sequence
from typing import Any

from sandbox.capabilities.faults import Fault

_MISSING: Any = object()
#: Control, format, surrogate, private and unassigned characters, and line and paragraph separators.
_UNPRINTABLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
#: What JavaScript counts exactly.
SAFE_INTEGER = (1 << 53) - 1


def invalid(message: str) -> Fault:
    """The fault for an argument that cannot be used."""
    return Fault("invalid_argument", message)


def get(args: Sequence[Any], position: int, default: Any = _MISSING, *, name: str) -> Any:
    """One argument, any JSON value."""
    if position < len(args):
        return args[position]
    if default is _MISSING:
        raise invalid(f"{name} is missing.")
    return default


def text(args: Sequence[Any], position: int, *, name: str, longest: int, default: Any = _MISSING) -> str:
    """A string of 1 to ``longest`` characters."""
    return checked_text(get(args, position, default, name=name), name=name, longest=longest)


def checked_text(value: Any, *, name: str, longest: int) -> str:
    """As :func:`text`, from a value."""
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise invalid(f"{name} must be a text of 1 to {longest} characters.")
    return value


def key(args: Sequence[Any], position: int = 0, *, name: str = "key", longest: int = 512) -> str:
    """A storage key: 1 to ``longest`` bytes of printable Unicode in normal form C; case matters."""
    value = get(args, position, name=name)
    return checked_key(value, name=name, longest=longest)


def checked_key(value: Any, *, name: str = "key", longest: int = 512) -> str:
    """As :func:`key`, from a value."""
    if isinstance(value, str) and value.isascii():
        if 1 <= len(value) <= longest and value.isprintable():
            return value
    elif (
        isinstance(value, str)
        and len(value) <= longest
        and len(value.encode("utf-8", "surrogatepass")) <= longest
        and not any(unicodedata.category(character) in _UNPRINTABLE for character in value)
        and unicodedata.is_normalized("NFC", value)
    ):
        return value
    raise Fault("invalid_key", f"{name} must be 1 to {longest} bytes of printable Unicode in normal form C.")


def whole(value: Any, *, name: str, least: int, most: int) -> int:
    """A whole number in a range; ``true`` is not one, ``3.0`` is."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise invalid(f"{name} must be a whole number from {least} to {most}.")
    return value


def options(args: Sequence[Any], position: int, *, allowed: Collection[str]) -> dict[str, Any]:
    """An optional object with known members only."""
    value = get(args, position, None, name="options")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid("options must be an object.")
    unknown = sorted(set(value) - set(allowed))
    if unknown:
        raise invalid(f"options has no member {', '.join(unknown)[:100]}.")
    return value


def no_more(args: Sequence[Any], most: int) -> None:
    """Refuse arguments that would be ignored."""
    if len(args) > most:
        raise invalid(f"At most {most} arguments, got {len(args)}.")


def octets(value: Any, *, name: str, most: int) -> bytes:
    """Bytes in standard base64 with padding."""
    if not isinstance(value, str) or len(value) > (most + 2) // 3 * 4:
        raise invalid(f"{name} must be base64 text of at most {most} bytes.")
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise invalid(f"{name} is not base64.") from None
