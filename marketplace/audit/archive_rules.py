"""Rules over the files of a bundle. How the archive itself may be built is enforced before (``bundles``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from marketplace.audit.base import ERROR, NOTICE, WARNING, Family, Found, Rule, Subject

NATIVE_CODE = Rule(
    id="archive.native-code",
    severity=ERROR,
    text="The bundle holds native code, which nothing here runs.",
    example="`addon.node`, an ELF or PE file, a serialised wasmtime module",
    advice="Leave it out; compile to WebAssembly what must be fast.",
)
NESTED = Rule(
    id="archive.nested",
    severity=ERROR,
    text="The bundle holds another archive, whose content nobody has looked at.",
    example="`vendor.zip`, whatever its name",
    advice="Unpack it into the bundle or leave it out.",
)
SECOND_MODULE = Rule(
    id="archive.second-module",
    severity=WARNING,
    text="The bundle holds a module that is not the entry and never runs.",
    example="`old.wasm` beside `plugin.wasm`",
    advice="Leave it out.",
)
HIDDEN_FILE = Rule(
    id="archive.hidden-file",
    severity=WARNING,
    text="The bundle holds a hidden file.",
    example="`.npmrc`",
    advice="Leave it out.",
)
NO_README = Rule(
    id="archive.no-readme",
    severity=WARNING,
    text="The bundle has no README at its top.",
    example="a bundle with the manifest and `plugin.mjs` alone",
    advice="Add README.md: what it does, what it needs, how to set it up.",
)
NO_CHANGELOG = Rule(
    id="archive.no-changelog",
    severity=NOTICE,
    text="The bundle has no CHANGELOG at its top.",
    example="a second release without CHANGELOG.md",
    advice="Add CHANGELOG.md, newest version first.",
)
ICON = Rule(
    id="archive.icon",
    severity=WARNING,
    text="The icon cannot be used: it is not a PNG, JPEG or WebP picture of at most 1024 × 1024 pixels and 256 kB.",
    example="`icon.svg`, which can carry script",
    advice="Add icon.png, square, 256 × 256 pixels.",
)
_NATIVE = {
    b"\x7fELF": "an ELF file",
    b"MZ": "a Windows program",
    b"\xfe\xed\xfa": "a Mach-O file",
    b"\xcf\xfa\xed\xfe": "a Mach-O file",
    b"\xca\xfe\xba\xbe": "a Java class or Mach-O file",
}
_ARCHIVES = {b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z",
             b"\x28\xb5\x2f\xfd": "zstd", b"Rar!": "rar"}  # fmt: skip
_NATIVE_SUFFIXES = {".node", ".so", ".dll", ".dylib", ".exe", ".cwasm", ".pyc", ".class"}
_MODULES = {".wasm", ".mjs"}


def check(subject: Subject) -> Iterator[Found]:
    """Apply the rules."""
    for name, content in subject.bundle.files.items():
        suffix = PurePosixPath(name).suffix.lower()
        native = next((what for mark, what in _NATIVE.items() if content.startswith(mark)), "")
        if native or suffix in _NATIVE_SUFFIXES:
            yield Found(rule=NATIVE_CODE, message=f"{name} is {native or 'native code by its name'}.", place=name)
        packed = next((what for mark, what in _ARCHIVES.items() if content.startswith(mark)), "")
        if packed or content[257:262] == b"ustar":
            yield Found(rule=NESTED, message=f"{name} is a {packed or 'tar'} archive.", place=name)
        if (suffix == ".wasm" or content.startswith(b"\0asm")) and name != subject.manifest.entry:
            yield Found(rule=SECOND_MODULE, message=f"{name} is a module and not the entry.", place=name)
        if any(part.startswith(".") for part in name.split("/")):
            yield Found(rule=HIDDEN_FILE, message=f"{name} is hidden.", place=name)
    if subject.find("readme") is None:
        yield Found(rule=NO_README, message="There is no README.")
    if subject.find("changelog") is None:
        yield Found(rule=NO_CHANGELOG, message="There is no CHANGELOG.")
    yield from _icon(subject)


def _icon(subject: Subject) -> Iterator[Found]:
    from marketplace import icons

    name = icons.find(subject.bundle.files)
    if "icon.svg" in subject.bundle.files and name is None:
        yield Found(rule=ICON, message="icon.svg is not used: a drawing can carry script.", place="icon.svg")
    if name is not None:
        problem = icons.problem(subject.bundle.files[name])
        if problem:
            yield Found(rule=ICON, message=f"{name}: {problem}.", place=name)


FAMILY = Family(
    name="archive",
    text="The files of the bundle.",
    rules=(NATIVE_CODE, NESTED, SECOND_MODULE, HIDDEN_FILE, NO_README, NO_CHANGELOG, ICON),
    check=check,
)
