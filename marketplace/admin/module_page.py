"""What a WebAssembly entry says by itself, for reviewers: read from its bytes, bounded, never run or compiled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sandbox import abi, binary
from sandbox.errors import SandboxError

#: Rows of a list that the page shows; what is beyond is counted.
MOST_ROWS = 60
#: Characters of the module's own texts that the page shows.
MOST_TEXT = 4000
_TEXT = re.compile(rb"[\x20-\x7e]{6,}")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The beginning of a list, and how many more there are."""

    shown: list[tuple[Any, ...]]
    more: int


@dataclass(frozen=True, kw_only=True)
class Module:
    """What is shown of one module."""

    #: What it is, and how much of it.
    facts: list[tuple[str, str]]
    #: Name, bytes.
    sections: Rows
    #: Name with its module, how the host declares it.
    imports: Rows
    #: Name, kind.
    exports: Rows
    #: Printable text of its data section, a piece a line; empty: it has none.
    texts: str
    texts_cut: bool


def describe(source: bytes, inspection: dict[str, Any]) -> Module | None:
    """A module by its bytes and what the audit has kept of its inspection; ``None``: it cannot be read."""
    try:
        found = binary.sections(source)
    except SandboxError:
        return None
    pieces = [
        piece.decode() for number, body in found if number == binary.Section.DATA for piece in _TEXT.findall(body)
    ]
    texts = "\n".join(pieces)
    return Module(
        facts=_facts(source, inspection, found),
        sections=_rows([(_title(number, body), len(body)) for number, body in found]),
        imports=_rows(
            [(f"{module}.{name}", _signature(module, name)) for module, name in inspection.get("imports", [])]
        ),
        exports=_rows([tuple(one) for one in inspection.get("exports", [])]),
        texts=texts[:MOST_TEXT],
        texts_cut=len(texts) > MOST_TEXT,
    )


def _rows(rows: list[tuple[Any, ...]]) -> Rows:
    return Rows(shown=rows[:MOST_ROWS], more=max(0, len(rows) - MOST_ROWS))


def _facts(source: bytes, inspection: dict[str, Any], found: list[tuple[int, bytes]]) -> list[tuple[str, str]]:
    facts = [("Bytes", f"{len(source):,}")]
    if inspection:
        most = inspection.get("memory_maximum_pages")
        limit = "no maximum of its own" if most is None else f"at most {_kibibytes(most)}"
        facts += [
            ("Functions", f"{inspection.get('functions', 0):,}"),
            ("Memory", f"{_kibibytes(inspection.get('memory_pages', 0))} at first, {limit}"),
            ("Table elements", f"{inspection.get('table_elements', 0):,}"),
            ("Start function", "yes" if inspection.get("has_start") else "none"),
        ]
    made = [line for number, body in found if number == binary.Section.CUSTOM for line in _producers(body)]
    return [*facts, ("Made with", ", ".join(made[:10]) or "it does not say")]


def _kibibytes(pages: int) -> str:
    return f"{pages * binary.PAGE // 1024:,} KiB"


def _title(number: int, body: bytes) -> str:
    """A section's name; of a custom one also what it calls itself."""
    if number not in set(binary.Section):
        return f"section {number}"
    title = binary.Section(number).name.lower().replace("_", " ")
    if number != binary.Section.CUSTOM:
        return title
    try:
        return f"{title}: {binary.Reader(body).name()[:100]}"
    except SandboxError:
        return title


def _signature(module: str, name: str) -> str:
    """How the host declares an import; the audit has compared the module with it."""
    if module != abi.MODULE:
        return "unknown to the host"
    return "(i32) → ()" if name == "take" else "(i32, i32, i32, i32) → i32"


def _producers(body: bytes) -> list[str]:
    """Lines of the section ``producers`` by tool conventions; nothing of any other."""
    reader, lines = binary.Reader(body), []
    try:
        if reader.name() != "producers":
            return []
        for _ in range(min(reader.unsigned(), 10)):
            reader.name()
            tools = range(min(reader.unsigned(), 20))
            lines += [f"{reader.name()[:60]} {reader.name()[:60]}".strip() for _ in tools]
    except SandboxError:
        return [*lines, "(the rest cannot be read)"]
    return lines
