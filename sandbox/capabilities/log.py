"""``log``: lines for the author and the operator, kept with the invocation. Every plugin has it."""

from __future__ import annotations

import unicodedata
from typing import Any, ClassVar

from sandbox.capabilities import arguments, wire
from sandbox.capabilities.base import Capability, Context, Handler, Operation
from sandbox.outcome import LogLine

MARKER = LogLine(level="warn", message="The log of this call is full; later lines are dropped.")
_LEVELS = ("debug", "info", "warn", "error")


class LogHandler(Handler):
    """Counts the bytes of one call's log."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._left = context.limits.log_bytes
        self._full = False

    def write(self, level: str, args: list[Any]) -> None:
        if self._full:
            return
        message = arguments.get(args, 0, "", name="message")
        message = clean(message if isinstance(message, str) else wire.encode(message))
        if len(args) > 1:
            message += " " + " ".join(clean(wire.encode(argument)) for argument in args[1:])
        size = len(message.encode()) + len(level)
        if size > self._left:
            self._full = True
            kept = message.encode()[: max(0, self._left - len(level))].decode("utf-8", "ignore")
            if kept:
                self.context.logs.append(LogLine(level=level, message=kept))
            self.context.logs.append(MARKER)
            return
        self._left -= size
        self.context.logs.append(LogLine(level=level, message=message))


def clean(text: str) -> str:
    """Text that cannot fake a line, move a terminal's cursor or turn the reading direction."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        code = ord(character)
        return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code, f"\\u{code:04x}" if code < 0x10000 else f"\\u{{{code:x}}}")
    return character


def _operation(level: str) -> Operation:
    def run(handler: LogHandler, args: list[Any]) -> None:
        handler.write(level, args)

    return Operation(
        name=level,
        run=run,
        signature=f"{level}(message, data?) → null",
        text=f"Write a line of level {level}; beyond the log limit lines are dropped, with a marker.",
    )


class Log(Capability):
    """Lines of text."""

    name = "log"
    summary = "Lines of text, kept with the invocation. Needs no declaration."
    risk = "Writes to its own log."
    declared = False
    counted = False
    handler = LogHandler
    operations: ClassVar[dict[str, Operation]] = {level: _operation(level) for level in _LEVELS}
