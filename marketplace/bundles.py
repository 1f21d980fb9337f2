"""Reading bundles strictly and within bounds, and packing them so that the same files give the same bytes.

A bundle is a ``.zip`` or a ``.tgz`` with the manifest at its top. It is read once, in memory, and never unpacked to
disk. What two unpackers could read differently is refused (hostile rows F01–F04): names that collide or leave the
folder, links and devices, sparse members, local headers that disagree with the directory, data before, between or
after what the directory lists, comments, data descriptors, zip64.
"""

from __future__ import annotations

import hashlib
import stat
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from marketplace import tarballs, zipframes
from marketplace.errors import BundleTooLarge, InvalidBundle

#: Bytes of the bundle, of all files together, of one file; number of files; uncompressed over compressed.
MAX_BUNDLE = 4 << 20
MAX_TOTAL = 16 << 20
MAX_FILE = 4 << 20
MAX_FILES = 100
MAX_RATIO = 20
#: Below this size a ratio says nothing: a file of 10 kB of spaces harms nobody.
RATIO_FROM = 64 << 10
MAX_NAME = 200

MANIFEST = "zelavis.plugin.json"
#: Left out when a directory is packed.
_IGNORED = {"node_modules", "__pycache__", ".git", ".DS_Store", "Thumbs.db"}


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle as read."""

    #: SHA-256 of the bytes as they came, hexadecimal.
    digest: str
    size: int
    #: Name → content, in the order of the archive.
    files: Mapping[str, bytes]


def digest_of(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read(content: bytes) -> Bundle:
    """Read a bundle.

    Raises:
        BundleTooLarge: a bound is passed; the message names the bound and the file.
        InvalidBundle: neither a zip nor a gzipped tar, or one that could be read in two ways.
    """
    if len(content) > MAX_BUNDLE:
        raise BundleTooLarge(f"The bundle has {len(content):,} bytes; the most is {MAX_BUNDLE:,}.", rule="bundle_size")
    if content[:2] == b"\x1f\x8b":
        members: Iterator[tuple[str, bytes]] = tarballs.members(content, most=MAX_TOTAL)
    elif content[:4] == b"PK\x03\x04":
        members = zipframes.members(content, most=MAX_FILE)
    else:
        raise InvalidBundle("The bundle is neither a zip nor a gzipped tar.", rule="bundle_format")
    files: dict[str, bytes] = {}
    folded: dict[str, str] = {}
    total = 0
    for name, data in members:
        _check_name(name)
        key = unicodedata.normalize("NFC", name).casefold()
        if key in folded:
            raise InvalidBundle(
                f"{name!r} and {folded[key]!r} are the same name for some file systems.",
                rule="duplicate_name",
                file=name,
            )
        folded[key] = name
        total += len(data)
        if len(data) > MAX_FILE:
            raise BundleTooLarge(f"{name} has more than {MAX_FILE:,} bytes.", rule="file_size", file=name)
        if total > MAX_TOTAL:
            raise BundleTooLarge(f"The files have more than {MAX_TOTAL:,} bytes together.", rule="total_size")
        if len(files) >= MAX_FILES:
            raise BundleTooLarge(f"The bundle has more than {MAX_FILES} files.", rule="file_count")
        files[name] = data
    _check_folders(folded)
    if total > RATIO_FROM and total > MAX_RATIO * len(content):
        raise BundleTooLarge(
            f"The files are more than {MAX_RATIO} times as large as the bundle.", rule="compression_ratio"
        )
    if not files:
        raise InvalidBundle("The bundle is empty.", rule="empty_bundle")
    return Bundle(digest=digest_of(content), size=len(content), files=files)


def _check_name(name: str) -> None:
    def refuse(why: str) -> InvalidBundle:
        return InvalidBundle(f"The file name {name[:MAX_NAME]!r} {why}.", rule="file_name", file=name[:MAX_NAME])

    if not name or len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
        raise refuse(f"is empty or longer than {MAX_NAME} bytes")
    if any(not character.isprintable() or ord(character) in _INVISIBLE for character in name):
        raise refuse("has characters that cannot be seen")
    if "\\" in name or ":" in name:
        raise refuse("has a backslash or a colon")
    parts = name.split("/")
    if name.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise refuse("is absolute or leaves its folder")
    if any(part.endswith((" ", ".")) or part.split(".")[0].upper() in _RESERVED for part in parts):
        raise refuse("means something else on another system")


#: Printable by Unicode's book, yet nothing to see: fillers and variation selectors.
_INVISIBLE = {0x115F, 0x1160, 0x3164, 0xFFA0, 0x034F, 0x2800, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{name}{n}" for name in ("COM", "LPT") for n in range(1, 10))}


def _check_folders(folded: Mapping[str, str]) -> None:
    """No file is also the folder of another."""
    for key, name in folded.items():
        parts = key.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in folded:
                raise InvalidBundle(f"{name!r} lies inside a file.", rule="file_is_folder", file=name)


def pack(directory: Path) -> bytes:
    """A zip of a directory: names sorted, fixed times and modes, so that the same files give the same bytes.

    Raises:
        InvalidBundle: no manifest, a link, or anything that :func:`read` would refuse.
        BundleTooLarge: a bound is passed.
    """
    if not (directory / MANIFEST).is_file():
        raise InvalidBundle(f"{directory.name} has no {MANIFEST}.", rule="manifest_missing", file=MANIFEST)
    found = {}
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if any(part in _IGNORED or part.endswith((".pyc", "~")) for part in relative.parts):
            continue
        if path.is_symlink():
            raise InvalidBundle(f"{relative} is a link.", rule="link", file=str(relative))
        if path.is_file():
            if path.stat().st_size > MAX_FILE:
                raise BundleTooLarge(
                    f"{relative} has more than {MAX_FILE:,} bytes.", rule="file_size", file=str(relative)
                )
            found[relative.as_posix()] = path.read_bytes()
    return pack_files(found)


def pack_files(files: Mapping[str, bytes]) -> bytes:
    """A bundle of these files; see :func:`pack`."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        # The manifest first: a reader knows at once what it has before it.
        for name in sorted(files, key=lambda name: (name != MANIFEST, name)):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.create_system = 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    content = stream.getvalue()
    read(content)
    return content
