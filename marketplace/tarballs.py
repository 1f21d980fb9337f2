"""Gzipped tar archives, read strictly: plain files and folders in plain ustar headers, nothing else."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from marketplace.errors import BundleTooLarge, InvalidBundle

_BLOCK = 512


def refuse(why: str, rule: str = "tar_framing", name: str = "") -> InvalidBundle:
    """The error for an archive that could be read in two ways."""
    return InvalidBundle(f"The tar {why}.", rule=rule, **({"file": name} if name else {}))


def members(content: bytes, *, most: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents in order. A leading ``./``, or npm's ``package/`` around everything, is taken off."""
    raw = _gunzip(content, most)
    found = list(_walk(raw))
    if found and all(name.startswith("package/") for name, _ in found):
        found = [(name.removeprefix("package/"), data) for name, data in found]
    yield from found


def _gunzip(content: bytes, most: int) -> bytes:
    # Headers and padding come on top of the files: 100 files need at most 100 times 1.5 blocks and the end.
    limit = most + 400 * _BLOCK
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        raw = unpacker.decompress(content, limit + 1)
    except zlib.error:
        raise refuse("is not readable gzip", rule="gzip") from None
    if len(raw) > limit:
        raise BundleTooLarge(f"The archive unpacks to more than {most:,} bytes.", rule="total_size")
    if not unpacker.eof:
        raise refuse("is cut off", rule="gzip")
    if unpacker.unused_data:
        raise refuse("is followed by other data", rule="gzip")
    return raw


def _walk(raw: bytes) -> Iterator[tuple[str, bytes]]:
    if len(raw) % _BLOCK:
        raise refuse("does not end at a block")
    position = 0
    while True:
        header = raw[position : position + _BLOCK]
        if len(header) < _BLOCK:
            raise refuse("has no end mark")
        if header == bytes(_BLOCK):
            break
        name, size, is_folder = _header(header)
        position += _BLOCK
        if position + size > len(raw):
            raise refuse("is cut off", name=name)
        if not is_folder:
            yield name, raw[position : position + size]
        padded = -(-size // _BLOCK) * _BLOCK
        if raw[position + size : position + padded].strip(b"\0"):
            raise refuse("has data in its padding", name=name)
        position += padded
    if raw[position:].strip(b"\0") or len(raw) - position < 2 * _BLOCK:
        raise refuse("has data after its end")


def _header(header: bytes) -> tuple[str, int, bool]:
    checksum = sum(header[:148]) + 8 * 32 + sum(header[156:])
    if _octal(header[148:156]) != checksum:
        raise refuse("has a damaged header")
    if header[257:263] not in (b"ustar\0", b"ustar "):
        raise refuse("is not in the ustar format")
    try:
        name = _text(header[:100]).decode("utf-8")
        prefix = _text(header[345:500]).decode("utf-8") if header[257:263] == b"ustar\0" else ""
    except UnicodeDecodeError:
        raise refuse("has a file name that is not UTF-8", rule="file_name") from None
    full = f"{prefix}/{name}" if prefix else name
    full = full.removeprefix("./")
    kind = header[156:157]
    if kind in (b"0", b"\0"):
        return full, _octal(header[124:136]), False
    if kind == b"5":
        return full, 0, True
    raise refuse(
        "has a link, a device, a sparse or an extended member; make it with `tar --format=ustar`",
        rule="link",
        name=full,
    )


def _text(field: bytes) -> bytes:
    value, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        raise refuse("has a name with NUL in it", rule="file_name")
    return value


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits or any(byte not in b"01234567" for byte in digits):
        raise refuse("has a number that is not octal")
    return int(digits, 8)
