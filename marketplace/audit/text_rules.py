"""Rules over text that hides: bidirectional controls, invisible characters, words in two scripts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from marketplace.audit.base import ERROR, MOST_OF_A_RULE, WARNING, Family, Found, Rule, Subject, line_of
from marketplace.manifest import NAME

BIDI = Rule(
    id="unicode.bidi",
    severity=ERROR,
    text="Code or manifest holds bidirectional control characters, which make text read otherwise than it runs.",
    example="U+202E RIGHT-TO-LEFT OVERRIDE in a comment",
    advice="Remove them; write an escape where a string needs one.",
)
HIDDEN = Rule(
    id="unicode.hidden",
    severity=ERROR,
    text="Code or manifest holds characters that cannot be seen: zero-width, variation selectors, tags, private use.",
    example="a string of U+FE00–U+FE0F that holds code",
    advice="Remove them; write an escape where a string needs one.",
)
HIDDEN_IN_TEXT = Rule(
    id="unicode.hidden-in-text",
    severity=WARNING,
    text="A README or another text holds characters that cannot be seen.",
    example="U+200B between the letters of a word",
    advice="Remove them.",
)
CONTROL = Rule(
    id="unicode.control",
    severity=ERROR,
    text="A text holds control characters that a terminal would obey.",
    example="ESC [2J in README.md",
    advice="Remove them.",
)
MIXED = Rule(
    id="unicode.mixed-scripts",
    severity=WARNING,
    text="A word of the title mixes scripts whose letters look alike.",
    example="`Pаypal` with a Cyrillic а",
    advice="Write each word in one script.",
)
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_HIDDEN = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2064\u206a-\u206f\u2800\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ue000-\uf8ff\U000f0000-\U0010ffff"
)
_FIND_BIDI = re.compile(f"[{_BIDI}]")
_FIND_HIDDEN = re.compile(f"[{_HIDDEN}]")
_FIND_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_CODE = (".mjs", ".js", ".json", ".ts", ".c", ".rs", ".wat", ".toml", ".lock")
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC")


def check(subject: Subject) -> Iterator[Found]:
    """Apply the rules."""
    for name, text in subject.texts.items():
        code = name.endswith(_CODE)
        # A text may carry joiners and the selector after an emoji; hidden messages are long runs of them.
        body = text if code else re.sub("[\u200d\ufe0e\ufe0f](?![\ufe00-\ufe0f])", "", text)
        yield from _all(_FIND_BIDI, BIDI if code else HIDDEN_IN_TEXT, name, body)
        yield from _all(_FIND_HIDDEN, HIDDEN if code else HIDDEN_IN_TEXT, name, body)
        yield from _all(_FIND_CONTROL, CONTROL, name, text)
    # A JSON escape hides a character from the file, not from the reader of the page.
    for field in ("title", "description", "license"):
        value = str(subject.manifest.data.get(field, ""))
        for pattern, rule in ((_FIND_BIDI, BIDI), (_FIND_HIDDEN, HIDDEN)):
            yield from _all(pattern, rule, f"{NAME} {field}", value, lines=False)
    for reason in subject.manifest.capabilities.values():
        for pattern, rule in ((_FIND_BIDI, BIDI), (_FIND_HIDDEN, HIDDEN)):
            yield from _all(pattern, rule, f"{NAME} capabilities", reason["reason"], lines=False)
    for word in str(subject.manifest.data["title"]).split():
        if len(scripts(word)) > 1:
            yield Found(rule=MIXED, message=f"{word!a} mixes {' and '.join(sorted(scripts(word)))}.", place=NAME)


def _all(pattern: re.Pattern[str], rule: Rule, name: str, text: str, *, lines: bool = True) -> Iterator[Found]:
    for count, match in enumerate(pattern.finditer(text)):
        if count == MOST_OF_A_RULE:
            rest = sum(1 for _ in pattern.finditer(text)) - count
            yield Found(rule=rule, message=f"{rest} more in this file.", place=name)
            return
        title = unicodedata.name(match[0], "no name")
        place = f"{name}:{line_of(text, match.start())}" if lines else name
        yield Found(rule=rule, message=f"U+{ord(match[0]):04X} {title}.", place=place)


def scripts(word: str) -> set[str]:
    """The look-alike scripts that the letters of a word belong to."""
    found = set()
    for char in word:
        if char.isalpha():
            script = unicodedata.name(char, "").partition(" ")[0]
            if script in _SCRIPTS:
                found.add(script)
    return found


FAMILY = Family(
    name="unicode",
    text="Characters that hide or mislead.",
    rules=(BIDI, HIDDEN, HIDDEN_IN_TEXT, CONTROL, MIXED),
    check=check,
)
