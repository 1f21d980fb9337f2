"""What a plugin's entry file is, read from its bytes and never by running it.

For WebAssembly the import section proves what the module can ask of its host, and the counts here keep what would be
costly to compile away from the compiler. For JavaScript only the engine can tell more, at deployment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from sandbox import abi, binary
from sandbox.artifact import Kind
from sandbox.binary import Reader, Section
from sandbox.errors import AbiMismatch, CapabilityUndeclared, InvalidModule, ModuleTooLarge

I32, I64 = 0x7F, 0x7E
Signature = tuple[bytes, bytes]
_FAMILY: Signature = (bytes([I32] * 4), bytes([I32]))
_TAKE: Signature = (bytes([I32]), b"")
_EXPORTS: dict[str, Signature] = {
    "zelavis_alloc": (bytes([I32]), bytes([I32])),
    "zelavis_call": (bytes([I32, I32]), bytes([I64])),
}
_KINDS = ("function", "table", "memory", "global", "tag")


@dataclass(frozen=True)
class Most:
    """Static limits of a module: a bomb is refused before anything compiles it."""

    source_bytes: int = 2 << 20
    javascript_bytes: int = 1 << 20
    functions: int = 10_000
    types: int = 2_000
    imports: int = 64
    exports: int = 1_000
    globals: int = 1_000
    segments: int = 10_000
    custom_bytes: int = 1 << 20
    name_bytes: int = 256
    locals: int = 2_000
    body_bytes: int = 256 << 10
    #: Locals times bytes of one function: what a compiler's worst cases grow with.
    body_weight: int = 100_000_000
    memory_pages: int = 1024
    table_elements: int = 10_000


MOST = Most()


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What the bytes say."""

    kind: Kind
    digest: str
    size: int
    #: Capability names as in a manifest that the module can call; empty for JavaScript, where the host decides a call.
    capabilities: tuple[str, ...] = ()
    #: ``(module, name)`` in order.
    imports: tuple[tuple[str, str], ...] = ()
    #: ``(name, kind)`` in order.
    exports: tuple[tuple[str, str], ...] = ()
    functions: int = 0
    memory_pages: int = 0
    memory_maximum_pages: int | None = None
    table_elements: int = 0
    has_start: bool = False
    #: Names of custom sections in order.
    custom_sections: tuple[str, ...] = ()
    #: The custom section ``zelavis.manifest``, when there is one.
    embedded_manifest: bytes | None = None

    def undeclared(self, declared: Container[str]) -> list[str]:
        """Capabilities the module imports and ``declared`` lacks."""
        return [name for name in self.capabilities if name not in declared]


@dataclass
class _Found:
    types: list[Signature] = field(default_factory=list)
    function_types: list[int] = field(default_factory=list)
    imported_functions: int = 0
    global_mutability: list[bool] = field(default_factory=list)
    imports: list[tuple[str, str, int]] = field(default_factory=list)
    exports: list[tuple[str, int, int]] = field(default_factory=list)
    memory: tuple[int, int | None] | None = None
    memories: int = 0
    tables: int = 0
    table_elements: int = 0
    declared: int = 0
    bodies: int = 0
    has_start: bool = False
    custom: list[str] = field(default_factory=list)
    custom_bytes: int = 0
    manifest: bytes | None = None


def inspect(source: bytes, *, kind: Kind) -> Inspection:
    """Read an entry file.

    Raises:
        InvalidModule: the bytes are not what ``kind`` says.
        ModuleTooLarge: a static limit is passed; the message names it.
        AbiMismatch: exports or imports are not those of ABI v1.
    """
    if kind == "javascript":
        return _javascript(source)
    _at_most("bytes", len(source), MOST.source_bytes)
    found = _Found()
    for number, body in binary.sections(source):
        reader = Reader(body)
        read = _READ.get(number)
        if read is None:
            raise InvalidModule(_UNKNOWN.get(number, f"The module has an unknown section {number}."))
        read(reader, found)
        if not reader.done and number != Section.CUSTOM:
            raise InvalidModule(f"Section {number} of the module is longer than its content.")
    _check(found)
    families = [name for module, name, _ in found.imports if module == abi.MODULE and name != "take"]
    return Inspection(
        kind=kind,
        digest=hashlib.sha256(source).hexdigest(),
        size=len(source),
        capabilities=tuple(sorted({_capability(family) for family in families})),
        imports=tuple((module, name) for module, name, _ in found.imports),
        exports=tuple((name, _KINDS[what]) for name, what, _ in found.exports),
        functions=found.declared,
        memory_pages=found.memory[0] if found.memory else 0,
        memory_maximum_pages=found.memory[1] if found.memory else None,
        table_elements=found.table_elements,
        has_start=found.has_start,
        custom_sections=tuple(found.custom),
        embedded_manifest=found.manifest,
    )


def check_declared(inspection: Inspection, grants: Container[str]) -> None:
    """Refuse a module that imports a capability which ``grants`` does not name; ``log`` and ``crypto`` need none.

    Raises:
        CapabilityUndeclared: the names are in the message and in ``members["capabilities"]``.
    """
    missing = [name for name in inspection.undeclared(grants) if _needs_declaration(name)]
    if missing:
        raise CapabilityUndeclared(
            f"The module imports capabilities that its manifest does not declare: {', '.join(missing)}.",
            capabilities=missing,
        )


def _javascript(source: bytes) -> Inspection:
    _at_most("bytes", len(source), MOST.javascript_bytes)
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidModule(f"The module is not UTF-8 (byte {error.start}).") from None
    if "\0" in text:
        raise InvalidModule("The module contains a NUL character.")
    if not text.strip():
        raise InvalidModule("The module is empty.")
    return Inspection(kind="javascript", digest=hashlib.sha256(source).hexdigest(), size=len(source))


def _at_most(what: str, count: int, most: int) -> None:
    if count > most:
        raise ModuleTooLarge(f"The module has too many {what}: {count:,}, {most:,} are allowed.", limit=most)


def _types(reader: Reader, found: _Found) -> None:
    count = reader.unsigned()
    _at_most("types", count, MOST.types)
    for _ in range(count):
        if reader.byte() != 0x60:
            raise InvalidModule("The module uses GC types; ABI v1 takes modules without garbage collection.")
        found.types.append((reader.take(reader.unsigned()), reader.take(reader.unsigned())))


def _imports(reader: Reader, found: _Found) -> None:
    count = reader.unsigned()
    _at_most("imports", count, MOST.imports)
    for _ in range(count):
        module, name, what = reader.name(), reader.name(), reader.byte()
        _at_most("bytes in a name", max(len(module), len(name)), MOST.name_bytes)
        if what != 0:
            kind = _KINDS[what] if what < len(_KINDS) else "thing"
            raise AbiMismatch(f"The module imports a {kind} {module}.{name}; only functions can be imported.")
        index = reader.unsigned()
        found.imports.append((module, name, index))
        found.function_types.append(index)
    found.imported_functions = count


def _functions(reader: Reader, found: _Found) -> None:
    found.declared = reader.unsigned()
    _at_most("functions", found.declared, MOST.functions)
    found.function_types += [reader.unsigned() for _ in range(found.declared)]


def _tables(reader: Reader, found: _Found) -> None:
    found.tables = reader.unsigned()
    _at_most("tables", found.tables, 1)
    for _ in range(found.tables):
        if reader.byte() not in (0x70, 0x6F):
            raise InvalidModule("The module uses typed references; ABI v1 takes plain tables.")
        _, least, _ = reader.limits()
        found.table_elements += least
    _at_most("table elements", found.table_elements, MOST.table_elements)


def _memories(reader: Reader, found: _Found) -> None:
    found.memories = reader.unsigned()
    if found.memories > 1:
        raise InvalidModule("The module has more than one memory; the feature multi-memory is off.")
    for _ in range(found.memories):
        flags, least, most = reader.limits()
        for bit, feature in ((2, "threads (shared memory)"), (4, "memory64"), (8, "custom page sizes")):
            if flags & bit:
                raise InvalidModule(f"The module needs the feature {feature}, which is off.")
        _at_most("pages of memory", least, MOST.memory_pages)
        found.memory = (least, most)


def _globals(reader: Reader, found: _Found) -> None:
    count = reader.unsigned()
    _at_most("globals", count, MOST.globals)
    for _ in range(count):
        reader.byte()
        found.global_mutability.append(reader.byte() == 1)
        _skip_constant(reader)


def _skip_constant(reader: Reader) -> None:
    """Pass over a constant expression."""
    while (code := reader.byte()) != 0x0B:
        if code in (0x41, 0x42):
            while reader.byte() & 0x80:
                pass
        elif code in (0x43, 0x44):
            reader.take(4 if code == 0x43 else 8)
        elif code in (0x23, 0xD2):
            reader.unsigned()
        elif code == 0xD0:
            reader.byte()
        elif code not in (0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E):
            raise InvalidModule("The module initialises a global with more than a constant.")


def _exports(reader: Reader, found: _Found) -> None:
    count = reader.unsigned()
    _at_most("exports", count, MOST.exports)
    for _ in range(count):
        name, what, index = reader.name(), reader.byte(), reader.unsigned()
        _at_most("bytes in a name", len(name), MOST.name_bytes)
        if what >= len(_KINDS):
            raise InvalidModule("The module exports something unknown.")
        found.exports.append((name, what, index))
    if len({name for name, _, _ in found.exports}) != count:
        raise InvalidModule("The module exports a name twice.")


def _start(reader: Reader, found: _Found) -> None:
    reader.unsigned()
    found.has_start = True


def _segments(reader: Reader, found: _Found) -> None:
    _at_most("data or element segments", reader.unsigned(), MOST.segments)
    reader.at = len(reader.data)


def _code(reader: Reader, found: _Found) -> None:
    found.bodies = reader.unsigned()
    _at_most("functions", found.bodies, MOST.functions)
    for _ in range(found.bodies):
        size = reader.unsigned()
        _at_most("bytes in one function", size, MOST.body_bytes)
        body = Reader(reader.take(size))
        count = 0
        for _ in range(body.unsigned()):
            count += body.unsigned()
            body.byte()
            _at_most("locals in one function", count, MOST.locals)
        _at_most("locals and instructions in one function", count * size, MOST.body_weight)


def _custom(reader: Reader, found: _Found) -> None:
    name = reader.name()
    found.custom_bytes += len(reader.data)
    _at_most("bytes in custom sections", found.custom_bytes, MOST.custom_bytes)
    _at_most("custom sections", len(found.custom) + 1, 64)
    found.custom.append(name[: MOST.name_bytes])
    if name == "zelavis.manifest":
        if found.manifest is not None:
            raise InvalidModule("The module has the section zelavis.manifest twice.")
        found.manifest = reader.data[reader.at :]


def _data_count(reader: Reader, found: _Found) -> None:
    reader.unsigned()


_READ: dict[int, Callable[[Reader, _Found], None]] = {
    Section.CUSTOM: _custom,
    Section.TYPE: _types,
    Section.IMPORT: _imports,
    Section.FUNCTION: _functions,
    Section.TABLE: _tables,
    Section.MEMORY: _memories,
    Section.GLOBAL: _globals,
    Section.EXPORT: _exports,
    Section.START: _start,
    Section.ELEMENT: _segments,
    Section.CODE: _code,
    Section.DATA: _segments,
    Section.DATA_COUNT: _data_count,
}
_UNKNOWN: dict[int, str] = {Section.TAG: "The module needs the feature exceptions, which is off."}


def _check(found: _Found) -> None:
    """Imports and exports against ABI v1."""
    if found.bodies != found.declared:
        raise InvalidModule("The module declares other functions than it has.")
    unknown = [f"{module}.{name}" for module, name, _ in found.imports if not _known(module, name)]
    if unknown:
        raise AbiMismatch(
            f"The module imports what there is not: {', '.join(unknown)}. ABI v1 has capabilities only, no WASI.",
            imports=unknown,
        )
    for _, name, index in found.imports:
        if _signature(found, index) != (_TAKE if name == "take" else _FAMILY):
            raise AbiMismatch(f"The import {abi.MODULE}.{name} has another signature than ABI v1's.")
    exports = {name: (what, index) for name, what, index in found.exports}
    if exports.get("memory", (None, 0))[0] != 2 or found.memory is None:
        raise AbiMismatch("The module must export its memory as memory.")
    for name, expected in _EXPORTS.items():
        what, index = exports.get(name, (None, 0))
        if what != 0 or not _function(found, index, expected):
            raise AbiMismatch(f"The module must export the function {name} with ABI v1's signature.")
    for name, what, index in found.exports:
        if what == 1 or (what == 2 and name != "memory"):
            raise AbiMismatch(f"The module must not export its {_KINDS[what]} as {name}.")
        if what == 3 and (index >= len(found.global_mutability) or found.global_mutability[index]):
            raise AbiMismatch(f"The module must not export the changeable global {name}.")


def _function(found: _Found, index: int, expected: Signature) -> bool:
    """Whether function ``index`` is the module's own and has this signature."""
    own = found.imported_functions <= index < len(found.function_types)
    return own and _signature(found, found.function_types[index]) == expected


def _signature(found: _Found, index: int) -> Signature | None:
    return found.types[index] if index < len(found.types) else None


def _known(module: str, name: str) -> bool:
    return module == abi.MODULE and (name == "take" or name in abi.families())


def _capability(family: str) -> str:
    from sandbox.capabilities import registry

    known = registry.by_import(family)
    return known.name if known is not None else family.replace("_", ":")


def _needs_declaration(name: str) -> bool:
    from sandbox.capabilities import registry

    known = registry.get(name)
    return known.declared if known is not None else name not in ("log", "crypto")
