"""Rules over wasm entries: imports and exports are proof of what a module can do (hostile rows A07–A18)."""

from __future__ import annotations

from collections.abc import Iterator

from marketplace.audit.base import ERROR, WARNING, Family, Found, Rule, Subject
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


def check(subject: Subject) -> Iterator[Found]:
    """Apply the rules to a wasm entry; JavaScript has none of this."""
    if subject.manifest.kind != "wasm" or subject.manifest.entry not in subject.bundle.files:
        return
    name = subject.manifest.entry
    try:
        imported = set(subject.inspection.capabilities)
    except SandboxError as error:
        yield Found(rule=INVALID, message=f"{error.message} ({error.code})"[:500], place=name)
        return
    declared = set(subject.manifest.capabilities)
    free = {one.name for one in registry.all_capabilities() if not one.declared}
    for capability in sorted(imported - declared - free):
        yield Found(rule=UNDECLARED, message=f"The module imports {capability}.", place=name)
    for capability in sorted(declared - imported):
        yield Found(rule=UNUSED, message=f"The module does not import {capability}.", place=name)


FAMILY = Family(
    name="module",
    text="WebAssembly entries, inspected and never run.",
    rules=(INVALID, UNDECLARED, UNUSED),
    check=check,
)
