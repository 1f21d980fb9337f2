"""From a booted engine's memory to a module without code: how a JavaScript plugin is kept.

The engine as it was built is taken apart: its code becomes the *engine module*, which imports its memory and is
compiled once; its data becomes the *blank image*, a module that holds only memory. Booting runs the engine module over
the blank image; what memory looks like afterwards becomes the plugin's own *image*. A call maps the image copy on write
and puts the engine module over it.

That is correct only while everything the engine knows is in its memory: no start function, no passive data, no mutable
global but the stack pointer (which is back at its start when the engine rests), a table that never changes. The first
three are checked here, the stack pointer after booting; the table is constant for C code.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox import binary
from sandbox.binary import PAGE, Reader, Section

#: The engine module's import of its memory.
IMAGE = "image"
_CHUNK = 4096


def engine_module(built: bytes) -> bytes:
    """The engine's code, with memory imported and data left out."""
    parts = binary.sections(built)
    found = {number for number, _ in parts}
    if Section.START in found or Section.IMPORT not in found:
        raise ValueError("the engine has a start function or no imports")
    memory = dict(parts)[Section.MEMORY]
    if Reader(memory).unsigned() != 1:
        raise ValueError("the engine has more than one memory")
    _check_active(dict(parts)[Section.DATA])
    pages = Reader(memory[1:]).limits()[1]
    imported = binary.name(IMAGE) + binary.name("memory") + b"\2" + binary.unsigned(0) + binary.unsigned(min(pages, 1))
    reader = Reader(dict(parts)[Section.IMPORT])
    imports = binary.unsigned(reader.unsigned() + 1) + reader.data[reader.at :] + imported
    dropped = (Section.CUSTOM, Section.MEMORY, Section.DATA, Section.DATA_COUNT)
    return binary.module(
        (number, imports if number == Section.IMPORT else body) for number, body in parts if number not in dropped
    )


def blank_image(built: bytes) -> bytes:
    """The engine's memory as it was built."""
    parts = dict(binary.sections(built))
    pages = Reader(parts[Section.MEMORY][1:]).limits()[1]
    return _image(pages, parts[Section.DATA])


def image(memory: bytes) -> bytes:
    """A module that holds exactly this memory. Its maximum is the call's limit, not the module's."""
    runs = list(_runs(memory))
    data = bytearray(binary.unsigned(len(runs)))
    for offset, content in runs:
        # i32.const takes a signed number.
        at = offset if offset < 1 << 31 else offset - (1 << 32)
        data += b"\0\x41" + binary.signed(at) + b"\x0b" + binary.unsigned(len(content)) + content
    return _image(len(memory) // PAGE, bytes(data))


def _image(pages: int, data: bytes) -> bytes:
    return binary.module(
        [
            (Section.MEMORY, b"\1\0" + binary.unsigned(pages)),
            (Section.EXPORT, b"\1" + binary.name("memory") + b"\2\0"),
            (Section.DATA, data),
        ]
    )


def _runs(memory: bytes) -> Iterator[tuple[int, bytes]]:
    """The parts of memory that are not zero, in whole chunks, so that the image can be mapped."""
    zero = bytes(_CHUNK)
    start: int | None = None
    for offset in range(0, len(memory), _CHUNK):
        empty = memory[offset : offset + _CHUNK] == zero
        if empty and start is not None:
            yield start, memory[start:offset]
            start = None
        elif not empty and start is None:
            start = offset
    if start is not None:
        yield start, memory[start:]


def _check_active(data: bytes) -> None:
    """Every data segment must be of the plain active form, for only those are in memory at the start."""
    reader = Reader(data)
    for _ in range(reader.unsigned()):
        if reader.unsigned() != 0 or reader.byte() != 0x41:
            raise ValueError("the engine has a data segment that is not plain")
        while reader.byte() & 0x80:
            pass
        if reader.byte() != 0x0B:
            raise ValueError("the engine has a data segment that is not plain")
        reader.take(reader.unsigned())
