"""The WebAssembly binary format, as far as we read and write it: numbers, names and sections.

Every read is bounded by the bytes at hand; whatever does not fit raises :class:`sandbox.errors.InvalidModule`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from sandbox.errors import InvalidModule

HEADER = b"\0asm\1\0\0\0"
PAGE = 65536


class Section(IntEnum):
    """Section ids of a core module."""

    CUSTOM = 0
    TYPE = 1
    IMPORT = 2
    FUNCTION = 3
    TABLE = 4
    MEMORY = 5
    GLOBAL = 6
    EXPORT = 7
    START = 8
    ELEMENT = 9
    CODE = 10
    DATA = 11
    DATA_COUNT = 12
    TAG = 13


class Reader:
    """A position in some bytes."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    @property
    def done(self) -> bool:
        """Whether everything was read."""
        return self.at >= len(self.data)

    def byte(self) -> int:
        """The next byte."""
        if self.at >= len(self.data):
            raise InvalidModule("The module ends in the middle of something.")
        self.at += 1
        return self.data[self.at - 1]

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if count > len(self.data) - self.at:
            raise InvalidModule("The module ends in the middle of something.")
        self.at += count
        return self.data[self.at - count : self.at]

    def unsigned(self, bits: int = 32) -> int:
        """A LEB128 number."""
        value = shift = 0
        while True:
            one = self.byte()
            value |= (one & 0x7F) << shift
            shift += 7
            if not one & 0x80:
                break
            if shift >= bits:
                raise InvalidModule("A number of the module is too long.")
        if value >> bits:
            raise InvalidModule("A number of the module is too large.")
        return value

    def name(self) -> str:
        """A length and that many bytes of UTF-8."""
        try:
            return self.take(self.unsigned()).decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidModule("A name in the module is not UTF-8.") from None

    def limits(self) -> tuple[int, int, int | None]:
        """Flags, minimum and maximum of a memory or table."""
        flags = self.byte()
        bits = 64 if flags & 4 else 32
        least = self.unsigned(bits)
        return flags, least, self.unsigned(bits) if flags & 1 else None


def sections(data: bytes) -> list[tuple[int, bytes]]:
    """Id and body of every section, in order.

    Raises:
        InvalidModule: the bytes are not a core module, end early, or have a section twice.
    """
    if data[:4] != HEADER[:4]:
        raise InvalidModule("The file is not WebAssembly: it does not begin with \\0asm.")
    if data[4:8] == b"\x0d\0\1\0":
        raise InvalidModule("The file is a WebAssembly component; ABI v1 takes core modules.")
    if data[:8] != HEADER:
        raise InvalidModule("The file is not a WebAssembly module of version 1.")
    reader = Reader(data, 8)
    found = []
    seen: set[int] = set()
    while not reader.done:
        number = reader.byte()
        body = reader.take(reader.unsigned())
        if number and number in seen:
            raise InvalidModule(f"The module has section {number} twice.")
        seen.add(number)
        found.append((number, body))
    return found


def unsigned(value: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        out.append(low | 0x80 if value else low)
        if not value:
            return bytes(out)


def signed(value: int) -> bytes:
    """Signed LEB128."""
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        last = (value == 0 and not low & 0x40) or (value == -1 and low & 0x40)
        out.append(low if last else low | 0x80)
        if last:
            return bytes(out)


def name(text: str) -> bytes:
    """A length and the text's UTF-8."""
    encoded = text.encode()
    return unsigned(len(encoded)) + encoded


def module(parts: Iterable[tuple[int, bytes]]) -> bytes:
    """A module of these sections."""
    out = bytearray(HEADER)
    for number, body in parts:
        out += bytes([number]) + unsigned(len(body)) + body
    return bytes(out)
