"""Rules over the README. What is shown is sanitised in any case (``readmes``); these tell author and curator."""

from __future__ import annotations

import re
from collections.abc import Iterator

from marketplace.audit.base import ERROR, NOTICE, WARNING, Family, Found, Rule, Subject, line_of

TOO_LARGE = Rule(
    id="readme.too-large",
    severity=ERROR,
    text="The README or CHANGELOG has more than 128 kB.",
    example="a README with pictures as data: URIs",
    advice="Keep it short and link to the documentation.",
)
NOT_TEXT = Rule(
    id="readme.not-text",
    severity=ERROR,
    text="The README or CHANGELOG is not UTF-8 text.",
    example="README.md in UTF-16",
    advice="Save it as UTF-8.",
)
HTML = Rule(
    id="readme.html",
    severity=WARNING,
    text="The README holds HTML that is shown as text.",
    example="`<iframe src=…>`, `<script>`, `<style>`",
    advice="Write Markdown.",
)
LINK = Rule(
    id="readme.link",
    severity=ERROR,
    text="The README has a link that is neither http nor https nor mailto.",
    example="`[click](javascript:alert(1))`",
    advice="Remove it.",
)
REMOTE_IMAGE = Rule(
    id="readme.remote-image",
    severity=NOTICE,
    text="The README shows a picture from elsewhere, which would tell that place who reads; it becomes a link.",
    example="`![badge](https://img.example/badge.svg)`",
    advice="Describe in words, or link.",
)
INSTRUCTION = Rule(
    id="readme.instruction",
    severity=WARNING,
    text="The README tells the reader to paste something into a shell or to switch a protection off.",
    example="`curl https://example.com/setup.sh | sh`",
    advice="A plugin needs nothing on the host; remove it.",
)
MAX_BYTES = 128 << 10
_HTML = re.compile(r"<\s{0,3}/?\s{0,3}(script|iframe|style|object|embed|form|svg|link|meta|base)\b", re.IGNORECASE)
_LINK = re.compile(
    r"(?:\]\(\s{0,3}<?|^\s{0,3}\[[^\]\n]{1,80}\]:\s{0,3}<?|<)((?:javascript|data|vbscript|file)\s{0,3}:)",
    re.IGNORECASE | re.MULTILINE,
)
_IMAGE = re.compile(r"!\[[^\]\n]{0,200}\]\(\s{0,3}<?https?://", re.IGNORECASE)
_SHELL = re.compile(
    r"\b(?:curl|wget)\b[^\n|]{1,200}\|\s{0,3}(?:sudo\s{1,3})?(?:ba|z)?sh\b|--no-check-certificate|chmod 777"
)


def check(subject: Subject) -> Iterator[Found]:
    """Apply the rules."""
    for name in (subject.find("readme"), subject.find("changelog")):
        if name is None:
            continue
        if len(subject.bundle.files[name]) > MAX_BYTES:
            yield Found(rule=TOO_LARGE, message=f"{name} has {len(subject.bundle.files[name]):,} bytes.", place=name)
            continue
        text = subject.texts.get(name)
        if text is None:
            yield Found(rule=NOT_TEXT, message=f"{name} is not UTF-8.", place=name)
            continue
        for pattern, rule, what in (
            (_HTML, HTML, "HTML"),
            (_LINK, LINK, "A link"),
            (_IMAGE, REMOTE_IMAGE, "A picture from elsewhere"),
            (_SHELL, INSTRUCTION, "An instruction"),
        ):
            for match in list(pattern.finditer(text))[:5]:
                yield Found(
                    rule=rule,
                    message=f"{what}: {match[0][:60]!a}.",
                    place=f"{name}:{line_of(text, match.start())}",
                )


FAMILY = Family(
    name="readme",
    text="README and CHANGELOG.",
    rules=(TOO_LARGE, NOT_TEXT, HTML, LINK, REMOTE_IMAGE, INSTRUCTION),
    check=check,
)
