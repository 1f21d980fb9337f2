"""Reading JavaScript without running it: the text with comments and strings blanked out, and its strings.

Not a parser: enough of the lexical grammar to tell code from text, so that a rule about code does not find words in a
comment. Where a slash could begin a regular expression or divide, the character before it decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_BEFORE_REGEX = set("(,=:[!&|?{};+-*%~^<>\n")
_WORDS_BEFORE_REGEX = frozenset(
    "return typeof case in of delete void throw new else do await yield".split()  # noqa: SIM905  reads better
)
#: Longer than any word above.
_LONGEST_WORD = 8


@dataclass
class Source:
    """A source text in layers. All layers have the length and the line breaks of the text."""

    #: Comments and the insides of strings, templates and regular expressions are blanks.
    code: str
    #: ``(position, content)`` of every string and of every text part of a template.
    strings: list[tuple[int, str]] = field(default_factory=list)
    #: Whether every string, template and comment was closed.
    complete: bool = True


def read(text: str) -> Source:
    """Split a text into code and strings. Linear in its length; never fails."""
    return _Reader(text).run()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.out: list[str] = []
        self.source = Source(code="")
        #: Depth of braces at which each open template's ``${`` ends.
        self.templates: list[int] = []
        self.depth = 0
        #: The last characters of code that are not blank, to tell a regular expression from a division.
        self.last = "\n"
        self.word = ""
        #: Whether the next letter begins a new word.
        self.ended = True

    def run(self) -> Source:
        position = 0
        while position < len(self.text):
            position = self._step(position)
        if self.templates:
            self.source.complete = False
        self.source.code = "".join(self.out)
        return self.source

    def _step(self, position: int) -> int:
        char = self.text[position]
        pair = self.text[position : position + 2]
        if pair == "//":
            return self._blank(position, self._find_line_end(position))
        if pair == "/*":
            return self._blank(position, self._find("*/", position + 2))
        if char in "\"'":
            return self._string(position, char)
        if char == "`":
            return self._template(position + 1, opening="`")
        if char == "/" and self._regex_may_begin():
            return self._regex(position)
        if char == "{":
            self.depth += 1
        elif char == "}":
            if self.templates and self.templates[-1] == self.depth:
                self.templates.pop()
                return self._template(position + 1, opening="}")
            self.depth -= 1
        self._emit(char)
        return position + 1

    def _emit(self, char: str) -> None:
        self.out.append(char)
        if char.isalnum() or char in "_$":
            if self.ended:
                self.word = char
            elif len(self.word) <= _LONGEST_WORD:
                # Of a longer word only that it is longer matters: text must not cost more than its length.
                self.word += char
            self.ended = False
            self.last = char
        else:
            self.ended = True
            if not char.isspace():
                self.word = ""
                self.last = char

    def _regex_may_begin(self) -> bool:
        return self.last in _BEFORE_REGEX or self.word in _WORDS_BEFORE_REGEX

    def _blank(self, start: int, end: int) -> int:
        self.out.append("".join(char if char == "\n" else " " for char in self.text[start:end]))
        return end

    def _find_line_end(self, start: int) -> int:
        end = self.text.find("\n", start)
        return len(self.text) if end < 0 else end

    def _find(self, mark: str, start: int) -> int:
        end = self.text.find(mark, start)
        if end < 0:
            self.source.complete = False
            return len(self.text)
        return end + len(mark)

    def _string(self, start: int, quote: str) -> int:
        position = start + 1
        while position < len(self.text) and self.text[position] not in (quote, "\n"):
            position += 2 if self.text[position] == "\\" else 1
        if position >= len(self.text) or self.text[position] == "\n":
            self.source.complete = False
        content = self.text[start + 1 : position]
        self.source.strings.append((start, content))
        self._emit(quote)
        self._blank(start + 1, min(position, len(self.text)))
        if position < len(self.text) and self.text[position] == quote:
            self._emit(quote)
            position += 1
        return min(position, len(self.text))

    def _template(self, start: int, *, opening: str) -> int:
        """The text part of a template, up to its end or to its next ``${``."""
        self._emit(opening)
        position = start
        while position < len(self.text):
            if self.text[position] == "\\":
                position += 2
                continue
            if self.text[position] == "`" or self.text.startswith("${", position):
                break
            position += 1
        position = min(position, len(self.text))
        self.source.strings.append((start, self.text[start:position]))
        self._blank(start, position)
        if position >= len(self.text):
            self.source.complete = False
            return position
        if self.text[position] == "`":
            self._emit("`")
            return position + 1
        self._emit("$")
        self._emit("{")
        self.templates.append(self.depth)
        # What follows `${` is an expression: a slash there begins a regular expression.
        return position + 2

    def _regex(self, start: int) -> int:
        position, in_class = start + 1, False
        while position < len(self.text) and self.text[position] != "\n":
            char = self.text[position]
            if char == "\\":
                position += 2
                continue
            if char == "[":
                in_class = True
            elif char == "]":
                in_class = False
            elif char == "/" and not in_class:
                break
            position += 1
        if position >= len(self.text) or self.text[position] == "\n":
            # It was a division after all.
            self._emit("/")
            return start + 1
        self._emit("/")
        self._blank(start + 1, position)
        self._emit("/")
        return position + 1
