"""Zip archives that every reader reads alike; anything else is refused (hostile row F04)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from marketplace.errors import BundleTooLarge, InvalidBundle

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_UTF8 = 0x800
#: Compression options may be set, UTF-8 may be set; encryption, descriptors, patches and masks may not.
_FLAGS = _UTF8 | 0x6


@dataclass(frozen=True)
class _Entry:
    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def refuse(why: str, rule: str = "zip_framing", name: str = "") -> InvalidBundle:
    """The error for an archive that could be read in two ways."""
    return InvalidBundle(f"The zip {why}.", rule=rule, **({"file": name} if name else {}))


def members(content: bytes, *, most: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents in the order of the file; folders are left out. ``most`` bytes a file."""
    position = 0
    count = 0
    entries = _directory(content)
    for entry in sorted(entries, key=lambda entry: entry.offset):
        if entry.offset != position:
            raise refuse("has bytes that its directory does not list", name=entry.name)
        start = _check_local(content, entry)
        position = start + entry.packed
        count += 1
        if position > len(content):
            raise refuse("is cut off", name=entry.name)
        if entry.name.endswith("/"):
            if entry.size or entry.packed:
                raise refuse("has a folder with content", name=entry.name)
            continue
        yield entry.name, _content(content[start:position], entry, most)
    if position != _end(content)[1]:
        raise refuse("has bytes between its files and its directory")


def _end(content: bytes) -> tuple[int, int, int]:
    """Number of entries, offset and size of the directory. The end record must be the last 22 bytes: no comment."""
    if len(content) < _END.size:
        raise refuse("is cut off")
    mark, disk, first_disk, here, total, size, offset, comment = _END.unpack(content[-_END.size :])
    if mark != b"PK\x05\x06" or comment:
        raise refuse("does not end with its end record: data or a comment follows")
    if disk or first_disk or here != total:
        raise refuse("spans several disks")
    if 0xFFFF in (here, total) or 0xFFFFFFFF in (size, offset):
        raise refuse("uses zip64")
    if content.count(b"PK\x05\x06") != 1:
        raise refuse("has two end records")
    if content.find(b"PK\x06\x06") >= 0 or content.find(b"PK\x06\x07") >= 0:
        raise refuse("uses zip64")
    if offset + size != len(content) - _END.size:
        raise refuse("has bytes between its directory and its end record")
    return total, offset, size


def _directory(content: bytes) -> list[_Entry]:
    total, position, size = _end(content)
    limit = position + size
    entries = []
    for _ in range(total):
        if position + _ENTRY.size > limit:
            raise refuse("has a directory that is too short")
        (mark, _made, _needed, flags, method, _time, _date, crc, packed, length, name_size, extra_size, comment_size,
         disk, _internal, external, offset) = _ENTRY.unpack_from(content, position)  # fmt: skip
        if mark != b"PK\x01\x02":
            raise refuse("has a damaged directory")
        raw_name = content[position + _ENTRY.size : position + _ENTRY.size + name_size]
        name = _decode(raw_name, flags)
        if comment_size or extra_size:
            raise refuse("has extra fields or comments in its directory", name=name)
        if disk or flags & ~_FLAGS:
            raise refuse("has an encrypted member, a data descriptor or a flag that readers differ on", name=name)
        if method not in (_STORED, _DEFLATED):
            raise refuse(f"has a member packed by method {method}", name=name)
        kind = (external >> 16) & 0o170000
        if kind not in (0, 0o100000) and not (kind == 0o040000 and name.endswith("/")):
            raise refuse("has a link, a device or another member that is not a file", rule="link", name=name)
        entries.append(_Entry(name, raw_name, flags, method, crc, packed, length, offset))
        position += _ENTRY.size + name_size
    if position != limit:
        raise refuse("has a directory with more than its entries")
    return entries


def _decode(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        raise refuse("has a file name that is not UTF-8", rule="file_name") from None


def _check_local(content: bytes, entry: _Entry) -> int:
    """Where the member's data begins; its local header must say what the directory says."""
    if entry.offset + _LOCAL.size > len(content):
        raise refuse("is cut off", name=entry.name)
    mark, _needed, flags, method, _time, _date, crc, packed, size, name_size, extra_size = _LOCAL.unpack_from(
        content, entry.offset
    )
    start = entry.offset + _LOCAL.size
    if mark != b"PK\x03\x04" or extra_size:
        raise refuse("has a damaged local header, or one with extra fields", name=entry.name)
    same = (flags, method, crc, packed, size) == (entry.flags, entry.method, entry.crc, entry.packed, entry.size)
    if not same or content[start : start + name_size] != entry.raw_name:
        raise refuse("has a local header that disagrees with its directory", name=entry.name)
    return int(start + name_size)


def _content(packed: bytes, entry: _Entry, most: int) -> bytes:
    if entry.size > most:
        raise BundleTooLarge(f"{entry.name} has more than {most:,} bytes.", rule="file_size", file=entry.name)
    if entry.method == _STORED:
        data = packed
    else:
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # One byte more than announced: a member that goes on is caught without unpacking the rest of it.
            data = unpacker.decompress(packed, entry.size + 1)
        except zlib.error:
            raise refuse("has a damaged member", name=entry.name) from None
        if not unpacker.eof or unpacker.unused_data:
            raise refuse("has a member that goes on after its end", name=entry.name)
    if len(data) != entry.size or zlib.crc32(data) != entry.crc:
        raise refuse("has a member that is not what its header says", name=entry.name)
    return data
