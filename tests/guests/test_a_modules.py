"""Hostile matrix A: what is wrong with a module is found before anything of it runs."""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from pathlib import Path

import pytest

from sandbox import binary, cache, compiler, engine, runtime, selftest
from sandbox.binary import Section, module, name, unsigned
from sandbox.engine import Profile
from sandbox.errors import (
    AbiMismatch,
    CapabilityUndeclared,
    CompileLimit,
    InvalidModule,
    ModuleTooLarge,
    SandboxError,
)
from sandbox.inspect import inspect
from sandbox.outcome import OutcomeStatus as S
from tests.sandbox.guests import answering, call, trouble
from tests.sandbox.guests import module as wat

GOOD = answering('{"ok":1}')
I32 = b"\x7f"


def functions(body: bytes, *, count: int = 1, local_count: int = 0) -> bytes:
    """A module of ABI v1 with more functions, each of this body (an i32 must be left)."""
    declared = unsigned(1) + unsigned(local_count) + I32 if local_count else unsigned(0)
    code = declared + body + b"\x0b"
    types = unsigned(3) + b"\x60\1\x7f\1\x7f" + b"\x60\2\x7f\x7f\1\x7e" + b"\x60\0\1\x7f"
    first = b"\0\x41\1\x0b", b"\0\x42\1\x0b"
    bodies = b"".join(unsigned(len(one)) + one for one in first) + (unsigned(len(code)) + code) * count
    exports = [("memory", 2, 0), ("zelavis_alloc", 0, 0), ("zelavis_call", 0, 1)]
    return module(
        [
            (Section.TYPE, types),
            (Section.FUNCTION, unsigned(count + 2) + b"\0\1" + b"\2" * count),
            (Section.MEMORY, b"\1\0\1"),
            (Section.EXPORT, unsigned(3) + b"".join(name(n) + bytes([k]) + unsigned(i) for n, k, i in exports)),
            (Section.CODE, unsigned(count + 2) + bodies),
        ]
    )


def test_a01_locals_times_branches() -> None:
    """4,000 locals and 16,000 branches in 171 kB are refused by counting, in a moment."""
    branch = b"\x41\0\x04\x40\x20\0\x41\1\x6a\x21\0\x0b"
    bomb = functions(branch * 14_000 + b"\x41\0", local_count=4000)
    started = time.perf_counter()
    with pytest.raises(ModuleTooLarge, match="locals"):
        compiler.deploy(bomb, kind="wasm")
    assert time.perf_counter() - started < 1


def test_a01_what_passes_the_counts_dies_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that takes the compiler too long ends with its child; this process does not notice."""
    monkeypatch.setattr(compiler, "PLUGIN_SECONDS", 1)
    branches = b"".join(
        b"\x41\0\x04\x40\x20" + unsigned(n % 1900) + b"\x41\1\x6a\x21" + unsigned(n % 1900) + b"\x0b"
        for n in range(3500)
    )
    slow = functions(branches + b"\x41\0", local_count=1900, count=20)
    with pytest.raises(CompileLimit):
        compiler.deploy(slow, kind="wasm")
    assert call(trouble("c"), "trouble:healthy").ok


def test_a02_memory_of_the_compiler_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that wants more memory than its child may have ends there, as ``compile_limit``."""
    script = Path(compiler._CHILD).read_text(encoding="utf-8").replace("768 << 20", "24 << 20")
    small = cache.root() / "small_child.py"
    cache.root().mkdir(parents=True, exist_ok=True)
    small.write_text(
        script.replace("Path(__file__).resolve().parent.parent", repr(str(compiler._CHILD.parent.parent))), "utf-8"
    )
    monkeypatch.setattr(compiler, "_CHILD", small)
    straight = functions(b"\x41\0" + b"\x41\1\x6a" * 60_000, count=8)
    with pytest.raises(CompileLimit):
        compiler.deploy(straight, kind="wasm")


def test_a03_too_many_functions() -> None:
    """20,000 tiny functions are refused by counting."""
    with pytest.raises(ModuleTooLarge, match="functions"):
        inspect(functions(b"\x41\0", count=20_000), kind="wasm")


def test_a04_memory_too_large() -> None:
    """A module that declares four gigabytes of memory is refused; one over the call's limit does not start."""
    with pytest.raises(ModuleTooLarge, match="pages"):
        inspect(answering('{"ok":1}', memory='(memory (export "memory") 65536)'), kind="wasm")
    large = compiler.deploy(answering('{"ok":1}', memory='(memory (export "memory") 512)'), kind="wasm")
    assert call(large).status is S.MEMORY


def test_a05_table_too_large() -> None:
    """A table of ten million elements is refused; so is one over the call's limit."""
    with pytest.raises(ModuleTooLarge, match="table"):
        inspect(answering('{"ok":1}', memory='(memory (export "memory") 1)(table 10000000 funcref)'), kind="wasm")
    table = compiler.deploy(
        answering('{"ok":1}', memory='(memory (export "memory") 1)(table 900 funcref)'), kind="wasm"
    )
    assert call(table).ok
    assert call(table, limits={"table_elements": 800}).status in (S.MEMORY, S.HOST_ERROR)


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("shared memory", '(memory (export "memory") 1 1 shared)'),
        ("memory64", '(memory (export "memory") i64 1)'),
        ("multi-memory", '(memory (export "memory") 1)(memory 1)'),
        ("gc", '(memory (export "memory") 1)(type (struct (field i32)))'),
        ("exceptions", '(memory (export "memory") 1)(tag (param i32))'),
        ("tail call", '(memory (export "memory") 1)(func $f (result i32) (return_call $f))'),
        ("simd", '(memory (export "memory") 1)(func (result i32) (i32x4.extract_lane 0 (v128.const i32x4 1 2 3 4)))'),
        (
            "relaxed simd",
            """(memory (export "memory") 1)(func (param v128) (result v128)
              (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))""",
        ),
    ],
)
def test_a06_features_that_are_off(feature: str, text: str) -> None:
    """Threads, memory64, multi-memory, GC, exceptions, tail calls and SIMD are refused at deployment, by name."""
    source = wat(
        f"""(module {text}
          (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 8))
          (func (export "zelavis_call") (param i32 i32) (result i64) (i64.const 0)))"""
    )
    with pytest.raises((InvalidModule, AbiMismatch)) as refused:
        compiler.deploy(source, kind="wasm")
    words = {"simd": "SIMD", "gc": "GC", "relaxed simd": "SIMD", "tail call": "tail"}
    expected = words.get(feature, feature.split(maxsplit=1)[0])
    assert expected.lower() in refused.value.message.lower(), refused.value.message


def imports(module_name: str, function: str, signature: str = "(param i32 i32 i32 i32) (result i32)") -> bytes:
    """A module of ABI v1 that imports one function."""
    return wat(
        f"""(module (import "{module_name}" "{function}" (func {signature})) (memory (export "memory") 1)
          (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 8))
          (func (export "zelavis_call") (param i32 i32) (result i64) (i64.const 0)))"""
    )


@pytest.mark.parametrize(
    ("module_name", "function"),
    [("wasi_snapshot_preview1", "fd_write"), ("env", "abort"), ("zelavis_v2", "kv"), ("zelavis_v1", "shell")],
)
def test_a07_unknown_imports(module_name: str, function: str) -> None:
    """WASI, other modules and unknown capabilities are refused with their names."""
    with pytest.raises(AbiMismatch, match=f"{module_name}.{function}"):
        inspect(imports(module_name, function), kind="wasm")


def test_a08_undeclared_capability() -> None:
    """A module that imports what its manifest does not declare is refused with the capability's name."""
    with pytest.raises(CapabilityUndeclared, match="http") as refused:
        compiler.deploy(imports("zelavis_v1", "http"), kind="wasm", grants={"kv": {}})
    assert refused.value.members["capabilities"] == ["http"]
    compiler.deploy(imports("zelavis_v1", "log"), kind="wasm", grants={})


def test_a09_declared_but_not_imported_is_visible() -> None:
    """What a module imports is told exactly, so that a declared capability it never imports can be a finding."""
    assert inspect(imports("zelavis_v1", "content_read"), kind="wasm").capabilities == ("content:read",)
    assert inspect(GOOD, kind="wasm").capabilities == ()


def test_a10_wrong_signature() -> None:
    """A right name with a wrong signature is refused at deployment, not at the first call."""
    with pytest.raises(AbiMismatch, match="signature"):
        inspect(imports("zelavis_v1", "kv", "(param i32) (result i32)"), kind="wasm")
    with pytest.raises(AbiMismatch, match="signature"):
        inspect(imports("zelavis_v1", "take", "(param i32 i32)"), kind="wasm")


@pytest.mark.parametrize("missing", ["memory", "zelavis_alloc", "zelavis_call"])
def test_a11_missing_or_mistyped_export(missing: str) -> None:
    """A module without one of the three exports, or with one of another kind, is refused."""
    text = """(module (memory (export "memory") 1)
      (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 8))
      (func (export "zelavis_call") (param i32 i32) (result i64) (i64.const 0)) (global $g i32 (i32.const 1)))"""
    with pytest.raises(AbiMismatch, match=missing):
        inspect(wat(text.replace(f'(export "{missing}")', '(export "other")')), kind="wasm")
    wrong = text.replace("(result i64) (i64.const 0)", "(result i32) (i32.const 0)")
    with pytest.raises(AbiMismatch, match="zelavis_call"):
        inspect(wat(wrong), kind="wasm")
    with pytest.raises(AbiMismatch):
        inspect(
            wat(text.replace('(memory (export "memory") 1)', '(memory 1) (export "memory" (global $g))')), kind="wasm"
        )


def test_a12_shared_insides() -> None:
    """An imported memory, a memory exported twice, an exported table and an exported changeable global are refused."""
    rest = """(func (export "zelavis_alloc") (param i32) (result i32) (i32.const 8))
      (func (export "zelavis_call") (param i32 i32) (result i64) (i64.const 0)))"""
    for text in (
        f'(module (import "zelavis_v1" "memory" (memory 1)) (export "memory" (memory 0)) {rest}',
        f'(module (memory (export "memory") 1) (export "twice" (memory 0)) {rest}',
        f'(module (memory (export "memory") 1) (table (export "table") 1 funcref) {rest}',
        f'(module (memory (export "memory") 1) (global (export "g") (mut i32) (i32.const 1)) {rest}',
    ):
        with pytest.raises(AbiMismatch):
            inspect(wat(text), kind="wasm")


def test_a13_start_function_loops() -> None:
    """A start function that never returns is stopped by the deadline of each call, not at deployment."""
    source = wat(
        """(module (memory (export "memory") 1) (func $s (loop $l (br $l))) (start $s)
          (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 8))
          (func (export "zelavis_call") (param i32 i32) (result i64) (i64.const 0)))"""
    )
    artifact = compiler.deploy(source, kind="wasm")
    assert call(artifact, limits={"deadline_ms": 30}).status is S.DEADLINE


def test_a13_start_function_makes_a_host_call() -> None:
    """A host call of a start function is a typed trap: memory is not known yet, and nothing is read."""
    source = wat(
        """(module (import "zelavis_v1" "kv" (func $kv (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func $s (drop (call $kv (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 8)))) (start $s)
          (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 8))
          (func (export "zelavis_call") (param i32 i32) (result i64) (i64.const 0)))"""
    )
    outcome = call(compiler.deploy(source, kind="wasm"))
    assert outcome.status is S.TRAP
    assert outcome.error is not None
    assert outcome.error.code == "called_too_early"


def polyglot() -> bytes:
    """A module with a zip archive behind it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("plugin.mjs", "export default {}")
    return GOOD + archive.getvalue()


@pytest.mark.parametrize(
    "source",
    [b"", b"\0asm", GOOD[:-1], GOOD[: len(GOOD) // 2], GOOD + b"\0", GOOD + b"<html>", polyglot(), b"<html>" + GOOD,
     b"\0asm\x0d\0\1\0", b"\0asm\2\0\0\0", bytes(range(256))],
    ids=["empty", "magic", "cut", "half", "zero", "html", "zip", "html-first", "component", "version", "bytes"],
)  # fmt: skip
def test_a14_not_a_module(source: bytes) -> None:
    """Empty, truncated and random bytes, other formats and bytes after the end are refused cleanly."""
    with pytest.raises(SandboxError) as refused:
        compiler.deploy(source, kind="wasm")
    assert refused.value.status == 422


def test_a15_compiled_code_is_not_taken() -> None:
    """A compiled module offered as a plugin is refused: nothing from outside reaches the loader."""
    code = compiler.plugin_code(trouble("c"), Profile())
    with pytest.raises(InvalidModule):
        compiler.deploy(code, kind="wasm")


def test_a16_bulky_sections() -> None:
    """Huge custom sections, a hundred thousand exports and endless names are refused by counting."""
    custom = bytes([0]) + unsigned(2_000_006) + name("bulk") + b"x" * 2_000_001
    with pytest.raises(ModuleTooLarge):
        inspect(GOOD + custom, kind="wasm")
    parts = binary.sections(GOOD)
    many = unsigned(100_000) + b"".join(name(f"e{n}") + b"\0\0" for n in range(100_000))
    with pytest.raises(ModuleTooLarge, match="exports"):
        inspect(module((n, many if n == Section.EXPORT else body) for n, body in parts), kind="wasm")
    long = unsigned(1) + name("x" * 1000) + b"\0\0"
    with pytest.raises(ModuleTooLarge, match="name"):
        inspect(module((n, long if n == Section.EXPORT else body) for n, body in parts), kind="wasm")


def test_a17_names_are_kept_as_they_are() -> None:
    """Markup and hidden characters in names are read as text and told as they are; who shows them escapes them."""
    section = bytes([0]) + unsigned(len(name("<b>\u202e\x1b[31m"))) + name("<b>\u202e\x1b[31m")
    assert inspect(GOOD + section, kind="wasm").custom_sections[-1] == "<b>\u202e\x1b[31m"


def test_a18_embedded_manifest_once() -> None:
    """A second section ``zelavis.manifest`` is refused; one is told, to be compared with the manifest of the bundle."""
    body = name("zelavis.manifest") + b"{}"
    section = bytes([0]) + unsigned(len(body)) + body
    assert inspect(GOOD + section, kind="wasm").embedded_manifest == b"{}"
    with pytest.raises(InvalidModule, match="twice"):
        inspect(GOOD + section * 2, kind="wasm")


def test_a19_the_profile_is_tried_in_a_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An engine profile that aborts the interpreter aborts a child, and the public interface serves instead."""
    child = tmp_path / "child.py"
    child.write_text("import os\nos.abort()\n", "utf-8")
    monkeypatch.setattr(selftest, "_CHILD", child)
    verdict = selftest.run(hardened=False)
    assert not verdict.passed
    assert "-6" in verdict.reason
    monkeypatch.setattr(selftest, "verdict", lambda: verdict)
    assert runtime.way().__name__ == "sandbox.portable"


@pytest.mark.parametrize("spoil", ["flip", "truncate", "swap", "empty"])
def test_a20_cache_files_are_believed_only_when_ours(spoil: str) -> None:
    """A damaged, cut, exchanged or emptied cache file is compiled again from the source and never run."""
    artifact = compiler.deploy(answering('{"ok":"mine"}'), kind="wasm")
    path = cache._path(compiler._key("wasm", artifact.digest, Profile()))
    good = path.read_bytes()
    other = compiler.deploy(answering('{"ok":"other"}'), kind="wasm")
    foreign = cache._path(compiler._key("wasm", other.digest, Profile())).read_bytes()
    middle = len(good) // 2
    flipped = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
    path.write_bytes({"flip": flipped, "truncate": good[:middle], "swap": foreign, "empty": b""}[spoil])
    runtime.reset()
    loaded = compiler.load(artifact.digest)
    assert call(loaded).result == "mine"
    kept = cache.read(compiler._key("wasm", artifact.digest, Profile()))
    assert kept is not None


def test_a20_another_version_or_key_is_another_file(settings: object) -> None:
    """Keys name engine version, profile and processor; a file signed with another secret key is not read."""
    assert engine.fingerprint(Profile()) != engine.fingerprint(Profile(hardened=True))
    artifact = compiler.deploy(answering('{"ok":"key"}'), kind="wasm")
    key = compiler._key("wasm", artifact.digest, Profile())
    assert cache.read(key) is not None
    settings.SECRET_KEY = "another key of enough characters, for this test"  # type: ignore[attr-defined]
    assert cache.read(key) is None


def test_a20_a_changed_source_is_not_compiled() -> None:
    """A kept source that no longer has its digest counts as missing."""
    source = answering('{"ok":"kept"}')
    artifact = compiler.deploy(source, kind="wasm")
    path = cache.root() / "sources" / f"{artifact.digest}.wasm"
    path.write_bytes(answering('{"ok":"evil"}'))
    cache._path(compiler._key("wasm", artifact.digest, Profile())).unlink()
    runtime.reset()
    with pytest.raises(SandboxError, match="deployed"):
        compiler.load(artifact.digest)
    assert compiler.deploy(source, kind="wasm").digest == hashlib.sha256(source).hexdigest()
