"""Prefixed, time-ordered identifiers: ``run_0193…`` sorts by the time it was made."""

from __future__ import annotations

import hashlib
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def make(prefix: str, *, now_ms: int | None = None) -> str:
    """``{prefix}_`` and 26 lower-case base-32 characters: 48 bits of milliseconds, 80 random bits (a ULID)."""
    stamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return _render(prefix, stamp, secrets.randbits(80))


def derive(prefix: str, *parts: str, now_ms: int) -> str:
    """The one identifier of ``parts`` at a moment: whoever asks again gets the same, so work is not done twice."""
    digest = hashlib.sha256("\0".join((prefix, *parts)).encode()).digest()
    return _render(prefix, now_ms, int.from_bytes(digest[:10]))


def after(identifier: str) -> str:
    """The next one behind ``identifier``, for whoever has to keep an order within a millisecond or against a clock."""
    prefix, _, text = identifier.rpartition("_")
    number = 0
    for character in text:
        number = (number << 5) | _ALPHABET.index(character)
    return _render(prefix, (number + 1) >> 80, (number + 1) & ((1 << 80) - 1))


def _render(prefix: str, stamp: int, tail: int) -> str:
    number = (stamp << 80) | tail
    characters = []
    for _ in range(26):
        characters.append(_ALPHABET[number & 31])
        number >>= 5
    return f"{prefix}_{''.join(reversed(characters))}"
