"""Rules over wasm entries: imports and exports are proof of what a module can do (hostile rows A07–A18)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from marketplace.audit.base import ERROR, WARNING, Family, Found, Rule, Subject
from marketplace.manifest import NAME as MANIFEST
from sandbox.capabilities import registry
from sandbox.errors import SandboxError

INVALID = Rule(
    id="module.invalid",
    severity=ERROR,
    text="The entry is no module of ABI v1: damaged, a forbidden feature, import or export, or too large in a part.",
    example="a module that imports `wasi_snapshot_preview1.fd_write`",
    advice="Build for wasm32-unknown-unknown without WASI; the message says what is wrong.",
)
UNDECLARED = Rule(
    id="module.undeclared",
    severity=ERROR,
    text="The module imports a capability that the manifest does not declare.",
    example="an import of `zelavis_v1.http` without `http` in the manifest",
    advice="Declare it with quantities and a reason, or build without it.",
)
UNUSED = Rule(
    id="module.unused",
    severity=WARNING,
    text="The manifest declares a capability that the module does not import, so it cannot use it.",
    example='`"users:read"` in the manifest of a module without the import',
    advice="Remove it from the manifest.",
)
MANIFEST_DIFFERS = Rule(
    id="module.manifest-differs",
    severity=ERROR,
    text="The module carries a manifest of its own, and it is not the one in the bundle.",
    example="a custom section `zelavis.manifest` with other capabilities",
    advice="Build the module with the manifest that is packed, or without the section.",
)
START = Rule(
    id="module.start",
    severity=WARNING,
    text="The module has a start function, which runs before every call.",
    example="a section `start`",
    advice="Do the work in the call; what start uses counts against its limits.",
)
MEMORY = Rule(
    id="module.memory",
    severity=ERROR,
    text="The module begins with more memory than its manifest asks for, so it could never start.",
    example="a memory of 512 pages with `memoryMb: 16`",
    advice="Raise `limits.memoryMb` or build with less memory.",
)
SECTION_NAME = Rule(
    id="module.section-name",
    severity=WARNING,
    text="A custom section or an export has a name with characters that cannot be seen.",
    example="an export named `a` followed by U+202E",
    advice="Rename it.",
)
_PAGES_PER_MB = 16
_DEFAULT_MB = 16


def check(subject: Subject) -> Iterator[Found]:
    """Apply the rules to a wasm entry; JavaScript has none of this."""
    if subject.manifest.kind != "wasm" or subject.manifest.entry not in subject.bundle.files:
        return
    name = subject.manifest.entry
    try:
        found = subject.inspection
    except SandboxError as error:
        yield Found(rule=INVALID, message=f"{error.message} ({error.code})"[:500], place=name)
        return
    imported = set(found.capabilities)
    declared = set(subject.manifest.capabilities)
    free = {one.name for one in registry.all_capabilities() if not one.declared}
    for capability in sorted(imported - declared - free):
        yield Found(rule=UNDECLARED, message=f"The module imports {capability}.", place=name)
    for capability in sorted(declared - imported - _seen_in_events(subject)):
        yield Found(rule=UNUSED, message=f"The module does not import {capability}.", place=name)
    embedded = found.embedded_manifest
    if embedded is not None and embedded != subject.bundle.files.get(MANIFEST):
        yield Found(rule=MANIFEST_DIFFERS, message="The module's own manifest is another one.", place=name)
    if found.has_start:
        yield Found(rule=START, message="The module has a start function.", place=name)
    asked = subject.manifest.data.get("limits", {}).get("memoryMb", _DEFAULT_MB)
    if found.memory_pages > asked * _PAGES_PER_MB:
        pages = found.memory_pages
        yield Found(rule=MEMORY, message=f"It begins with {pages} pages; {asked} MiB are asked for.", place=name)
    for word in (*found.custom_sections, *(export for export, _ in found.exports)):
        if not word.isprintable() or any(unicodedata.category(char) in ("Cf", "Mn", "Co") for char in word):
            yield Found(rule=SECTION_NAME, message=f"The name {word[:60]!a}.", place=name)


def _seen_in_events(subject: Subject) -> set[str]:
    """Capabilities that a module needs without calling them: parts of an event are withheld from who has none."""
    families = {hook["name"].partition(":")[0] for hook in subject.manifest.data.get("hooks", [])}
    opened = {"content": {"content:read", "content:write"}, "user": {"users:read"}}
    return set().union(*(opened.get(family, set()) for family in families))


FAMILY = Family(
    name="module",
    text="WebAssembly entries, inspected and never run.",
    rules=(INVALID, UNDECLARED, UNUSED, MANIFEST_DIFFERS, START, MEMORY, SECTION_NAME),
    check=check,
)
