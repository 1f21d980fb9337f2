"""WebAssembly bundles: what the import section proves (A07–A18 as they touch intake)."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import wasmtime

from marketplace import intake
from marketplace.errors import ReleaseRefused
from marketplace.models import Release
from tests.marketplace import kit

pytestmark = pytest.mark.django_db
KV = '(import "zelavis_v1" "kv" (func (param i32 i32 i32 i32) (result i32)))'


def module(imports: str = KV, body: str = "", memory: str = '(memory (export "memory") 1)') -> bytes:
    """A module of ABI v1."""
    exports = (
        '(func (export "zelavis_alloc") (param i32) (result i32) i32.const 0)'
        '(func (export "zelavis_call") (param i32 i32) (result i64) i64.const 0)'
    )
    return bytes(wasmtime.wat2wasm(f"(module {imports} {memory} {exports} {body})"))


def section(name: bytes, content: bytes) -> bytes:
    """A custom section."""
    body = bytes([len(name)]) + name + content
    size, length = [], len(body)
    while True:
        size.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            return b"\0" + bytes(size) + body


def submit(wasm: bytes, **changes: Any) -> Release:
    """A release with this entry."""
    _, owner = kit.publisher()
    files = {"plugin.wasm": wasm, "plugin.mjs": None}
    given = kit.files(None, entry="plugin.wasm", **changes) | files
    from marketplace import bundles

    return intake.submit(
        bundles.pack_files({name: content for name, content in given.items() if content is not None}), actor=owner
    )


def rules(release: Release) -> set[str]:
    """What was found."""
    return set(release.findings.values_list("rule", flat=True))


def test_a_module_shows_what_it_imports_and_exports() -> None:
    """Imports and exports are kept with the release, read and not run."""
    release = submit(module())
    assert release.kind == "wasm"
    assert release.inspection["imports"] == [["zelavis_v1", "kv"]]
    assert release.inspection["capabilities"] == ["kv"]
    assert rules(release) == set()


@pytest.mark.parametrize(
    ("row", "wasm"),
    [
        ("A07", module('(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))')),
        ("A07", module('(import "env" "anything" (func))')),
        ("A10", module('(import "zelavis_v1" "kv" (func (param i32)))')),
        ("A11", bytes(wasmtime.wat2wasm('(module (memory (export "memory") 1))'))),
        ("A12", module(memory='(import "env" "memory" (memory 1))')),
        ("A12", module(body='(global (export "g") (mut i32) i32.const 0)')),
        ("A04", module(memory='(memory (export "memory") 65536)')),
        ("A05", module(body="(table 10000000 funcref)")),
        ("A06", module(memory='(memory (export "memory") 1 1 shared)')),
        ("A14", b""),
        ("A14", b"\0asm"),
        ("A14", module() + b"PK\x03\x04"),
        ("A14", module()[:-3]),
        ("A14", b"\x7fELF serialised module"),
        ("A16", module() + section(b"big", random.Random(1).randbytes(2 << 20))),
        ("A18", module() + section(b"zelavis.manifest", b"{}") + section(b"zelavis.manifest", b"{}")),
    ],
)
def test_a_rows_modules_are_refused_at_intake(row: str, wasm: bytes) -> None:
    """A04–A18: a module that is none of ABI v1 is refused by name of the rule, and nothing is stored."""
    with pytest.raises(ReleaseRefused) as caught:
        submit(wasm)
    found = {finding["rule"] for finding in caught.value.members["findings"]}
    assert found & {"module.invalid", "limits.empty", "archive.native-code", "limits.entry-size"}, (row, found)
    assert not Release.objects.exists()


def test_a08_an_import_needs_its_declaration() -> None:
    """A08: a module that imports more than its manifest declares is refused."""
    with pytest.raises(ReleaseRefused) as caught:
        submit(module(), capabilities={})
    assert caught.value.members["rule"] == "module.undeclared"


def test_a09_asking_for_more_than_is_imported_is_found() -> None:
    """A09: a capability that the module cannot use is a finding."""
    asked = {"kv": kit.KV, "blobs": {"reason": "Keeps the pictures."}}
    assert rules(submit(module(), capabilities=asked)) == {"module.unused"}


def test_a13_a17_a18_start_names_and_embedded_manifests() -> None:
    """A13, A17, A18: a start function and hidden names are found; a manifest of its own must be the bundle's."""
    release = submit(module(body="(func $s) (start $s)") + section(b"n\xe2\x80\xae", b""))
    assert rules(release) == {"module.start", "module.section-name"}
    text = json.dumps(kit.manifest(entry="plugin.wasm", version="1.0.1"), ensure_ascii=False).encode()
    _, owner = release.publisher, kit.actor(release.submitted_by)
    from marketplace import bundles

    files = kit.files(None, entry="plugin.wasm", version="1.0.1")
    del files["plugin.mjs"]
    same = files | {"plugin.wasm": module() + section(b"zelavis.manifest", text)}
    assert rules(intake.submit(bundles.pack_files(same), actor=owner)) == set()
    other = kit.files(None, entry="plugin.wasm", version="1.0.2")
    del other["plugin.mjs"]
    other["plugin.wasm"] = module() + section(b"zelavis.manifest", text)
    with pytest.raises(ReleaseRefused, match=r"module\.manifest-differs"):
        intake.submit(bundles.pack_files(other), actor=owner)


def test_more_memory_than_asked_for_is_refused() -> None:
    """A module that begins with more memory than its limit could never start."""
    with pytest.raises(ReleaseRefused, match=r"module\.memory"):
        submit(module(memory='(memory (export "memory") 100)'), limits={"memoryMb": 2})
