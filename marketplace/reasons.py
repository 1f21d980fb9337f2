"""Reasons, as people give them."""

from __future__ import annotations

from marketplace.errors import ReasonRequired
from zelavis.errors import InvalidRequest

MAX_REASON = 5000


def read(text: str, *, needed: str = "") -> str:
    """A reason without blanks around it. ``needed``: what needs one, for the message; empty: nothing does.

    Raises:
        ReasonRequired: there is none. InvalidRequest: too long, or with a NUL, which no database keeps.
    """
    clean = text.strip()
    if len(clean) > MAX_REASON or "\0" in clean:
        raise InvalidRequest(f"A reason has at most {MAX_REASON:,} characters, and no NUL.")
    if needed and not clean:
        raise ReasonRequired(f"{needed}: say why.")
    return clean
