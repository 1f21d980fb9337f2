"""Archives that an attacker made (hostile rows F01–F04)."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace import bundles
from marketplace.errors import BundleTooLarge, InvalidBundle
from zelavis.errors import ZelavisError

MANIFEST = "zelavis.plugin.json"


def zipped(*members: tuple[str, bytes], **more: object) -> bytes:
    """A zip as Python makes it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def tarred(
    change: Callable[[tarfile.TarInfo], None] | None = None, name: str = "a.txt", content: bytes = b"x"
) -> bytes:
    """A tar with one member."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        if change:
            change(info)
        archive.addfile(info, io.BytesIO(content if info.isfile() else b""))
    return stream.getvalue()


def typed(kind: bytes, link: str = "") -> Callable[[tarfile.TarInfo], None]:
    """Makes a member something that is not a file."""

    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname, info.size = kind, link, 0

    return change


def rule_of(content: bytes) -> str:
    """The rule that refuses it."""
    with pytest.raises(ZelavisError) as caught:
        bundles.read(content)
    return str(caught.value.members["rule"])


def refused(content: bytes) -> bool:
    """Whether it is refused."""
    try:
        bundles.read(content)
    except ZelavisError:
        return True
    return False


def test_packing_is_deterministic_and_reads_back(tmp_path: Path) -> None:
    """The same files give the same bytes, whatever their times, and reading gives the files."""
    for number in range(2):
        folder = tmp_path / str(number)
        (folder / "lib").mkdir(parents=True)
        (folder / MANIFEST).write_text("{}")
        (folder / "lib" / "a.txt").write_text("a")
        (folder / "node_modules").mkdir()
        (folder / "node_modules" / "x.js").write_text("x")
    one, two = bundles.pack(tmp_path / "0"), bundles.pack(tmp_path / "1")
    assert one == two
    assert list(bundles.read(one).files) == [MANIFEST, "lib/a.txt"]
    with pytest.raises(InvalidBundle):
        bundles.pack(tmp_path)


def test_f01_bombs_end_at_a_bound() -> None:
    """F01: what unpacks to too much is refused while it is read, by ratio, by file, in total, by number."""
    assert rule_of(zipped(("a", b"\0" * 3_000_000))) == "compression_ratio"
    assert rule_of(zipped(("a", b"\0" * (5 << 20)))) == "file_size"
    noise = random.Random(1).randbytes(1 << 20)
    assert rule_of(zipped(*((f"f{n}", noise) for n in range(5)))) == "bundle_size"
    assert rule_of(zipped(*((f"f{n}", b"") for n in range(101)))) == "file_count"
    assert rule_of(gzip.compress(b"\0" * (64 << 20))) == "total_size"
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"\0" * (300 << 20))
    lying = bytearray(bomb.getvalue())
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<L", lying, lying.index(mark) + at, 10)
    assert rule_of(bytes(lying)) == "zip_framing"


@pytest.mark.parametrize(
    "name",
    ["../a", "/a", "a/../b", "C:/a", "a\\b", "a/./b", "a//b", "a\u202e", "a\u200bb", "con.txt", "a.", "a ", "x" * 201],
)
def test_f02_names_stay_in_their_folder(name: str) -> None:
    """F02: a name that leaves the folder, hides something or means a device elsewhere is refused, in zip and tar."""
    assert rule_of(zipped((name, b"x"))) == "file_name"
    if len(name) < 100:
        assert rule_of(tarred(name=name)) == "file_name"


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, b"x", b"g", b"L"],
)
def test_f02_only_files_are_taken(kind: bytes) -> None:
    """F02: links, devices, sparse and extended members are refused."""
    assert rule_of(tarred(typed(kind, "/etc/passwd"))) == "link"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    assert rule_of(stream.getvalue()) == "link"


@pytest.mark.parametrize(("one", "two"), [("a", "a"), ("a", "A"), ("\u00e9", "e\u0301"), ("ß", "ss")])
def test_f03_names_that_collide_are_refused(one: str, two: str) -> None:
    """F03: equal names, names that differ by case, and names that differ by Unicode form are refused."""
    with pytest.warns(UserWarning, match="Duplicate") if one == two else _nothing():
        content = zipped((one, b"1"), (two, b"2"))
    assert rule_of(content) == "duplicate_name"


class _nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_f03_a_file_is_no_folder() -> None:
    """F03: a name cannot be a file and the folder of another."""
    assert rule_of(zipped(("a", b"1"), ("a/b", b"2"))) == "file_is_folder"


def changed(content: bytes, mark: bytes, at: int, value: bytes) -> bytes:
    """Bytes written over a place after the first mark."""
    start = content.index(mark) + at
    return content[:start] + value + content[start + len(value) :]


def test_f04_zips_that_readers_read_differently_are_refused() -> None:
    """F04: headers that disagree, data around, comments, descriptors, two ends, zip64, encryption: all refused."""
    good = zipped(("a.txt", b"hello hello"), ("b.txt", b"x"))
    assert bundles.read(good).files == {"a.txt": b"hello hello", "b.txt": b"x"}
    local, central, end = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
    directory = good.index(central)
    cases = {
        "another local name": changed(good, local, 30, b"z.txt"),
        "another local size": changed(good, local, 22, b"\1\0\0\0"),
        "another crc": changed(changed(good, local, 14, b"\1\2\3\4"), central, 16, b"\1\2\3\4"),
        "flags of a descriptor": changed(changed(good, local, 6, b"\x08"), central, 8, b"\x08"),
        "encrypted": changed(changed(good, local, 6, b"\x01"), central, 8, b"\x01"),
        "method": changed(changed(good, local, 8, b"\x0c"), central, 10, b"\x0c"),
        "trailing data": good + b"x",
        "prepended data": b"PK\x03\x04" + good,
        "comment": changed(good, end, 20, b"\1\0") + b"c",
        "two ends": good + good[good.index(end) :],
        "gap before the directory": changed(
            good[:directory] + b"gap!" + good[directory:], end, 16, struct.pack("<L", directory + 4)
        ),
        "fewer entries": changed(good, end, 8, b"\1\0\1\0"),
        "zip64": changed(good, end, 16, b"\xff\xff\xff\xff"),
        "cut": good[:-5],
        "two disks": changed(good, end, 4, b"\1\0"),
        "an extra field": changed(good, local, 28, b"\4\0"),
    }
    for what, content in cases.items():
        assert refused(content), what


def test_f04_tars_that_readers_read_differently_are_refused() -> None:
    """F04: data after the end, damaged checksums, a cut archive, data in padding and a second stream are refused."""
    plain = gzip.decompress(tarred())
    assert bundles.read(tarred()).files == {"a.txt": b"x"}
    assert bundles.read(tarred(name="package/a.txt")).files == {"a.txt": b"x"}
    cases = {
        "data after the end": plain + b"x" * 512,
        "no end": plain[:1024],
        "checksum": plain[:150] + b"9" + plain[151:],
        "padding": plain[:520] + b"secret" + plain[526:],
        "size": plain[:124] + b"77777777777\0" + plain[136:],
    }
    for what, raw in cases.items():
        assert refused(gzip.compress(raw)), what
    assert rule_of(tarred() + gzip.compress(b"second")) == "gzip"
    assert rule_of(tarred() + b"junk") == "gzip"
    assert rule_of(tarred()[:-9]) == "gzip"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08\0"]))
def test_i10_any_bytes_are_refused_cleanly(noise: bytes, start: bytes) -> None:
    """I10: random bytes are refused with a typed error, never with another exception."""
    with pytest.raises(ZelavisError):
        bundles.read(start + noise)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_i10_a_changed_byte_never_reads_as_other_content(position: int, value: int) -> None:
    """I10: one byte changed anywhere is refused, or the files read are those that were packed."""
    files = {MANIFEST: b'{"a": 1}', "plugin.mjs": b"export default {}" * 10}
    good = bytearray(bundles.pack_files(files))
    good[position % len(good)] = value
    try:
        found = bundles.read(bytes(good)).files
    except ZelavisError:
        return
    assert list(found.values()) == list(files.values())


def test_a_large_bundle_is_refused_by_its_size_alone() -> None:
    """More than 4 MiB is refused before anything is read."""
    with pytest.raises(BundleTooLarge):
        bundles.read(b"PK\x03\x04" + b"\0" * bundles.MAX_BUNDLE)
