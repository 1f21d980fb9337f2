"""Rules over names: what is reserved, and what reads like somebody else's."""

from __future__ import annotations

from collections.abc import Iterator

from marketplace import names
from marketplace.audit.base import ERROR, WARNING, Family, Found, Rule, Subject
from marketplace.manifest import NAME

RESERVED = Rule(
    id="names.reserved",
    severity=ERROR,
    text="The name is reserved, or begins with a word that claims to be official, and the publisher is not verified.",
    example="`official-seo` of an unverified publisher",
    advice="Choose another name, or have the publisher verified.",
)
ALIKE = Rule(
    id="names.alike",
    severity=ERROR,
    text="The name reads like that of another publisher's plugin: they differ only by look-alike characters.",
    example="`w0rd-count` beside `word-count`",
    advice="Choose another name.",
)
NEAR = Rule(
    id="names.near",
    severity=WARNING,
    text="The name differs by one letter from that of another publisher's plugin.",
    example="`word-coumt` beside `word-count`",
    advice="A curator decides whether people would mistake one for the other.",
)
CLAIM = Rule(
    id="names.claim",
    severity=WARNING,
    text="The title claims to be official or verified.",
    example='`"title": "Official SEO"`',
    advice="Leave such words to the badge.",
)
_NEAR_FROM = 5


def check(subject: Subject) -> Iterator[Found]:
    """Apply the rules."""
    name = subject.manifest.name
    if not subject.verified and (name in names.RESERVED or name.startswith(names.RESERVED_PREFIXES)):
        yield Found(rule=RESERVED, message=f"{name} is reserved.", place=NAME)
    for other in subject.look_alikes(name):
        if names.skeleton(other) == names.skeleton(name):
            yield Found(rule=ALIKE, message=f"{name} reads like {other}.", place=NAME)
        elif len(name) >= _NEAR_FROM and names.distance(name, other, most=1) <= 1:
            yield Found(rule=NEAR, message=f"{name} is one letter from {other}.", place=NAME)
    title = str(subject.manifest.data["title"]).lower()
    if not subject.verified and any(word in title.split() for word in ("official", "verified", "trusted")):
        yield Found(rule=CLAIM, message="The title makes a claim that only the badge may make.", place=NAME)


FAMILY = Family(
    name="names",
    text="Names and look-alikes.",
    rules=(RESERVED, ALIKE, NEAR, CLAIM),
    check=check,
)
