"""Links with which a human answers a token: signed, with an end, good for one token of one run."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.core import signing

from runs import clock
from runs.errors import TokenLinkInvalid

_SALT = "runs.token"


@dataclass(frozen=True)
class Question:
    """What a link asks about."""

    run_id: str
    token_id: str
    #: Milliseconds since the epoch.
    expires_at: int


def url(run_id: str, token_id: str, *, expires_at: int) -> str:
    """The link; absolute when ``ZELAVIS_PUBLIC_URL`` is set."""
    signed = signing.dumps([run_id, token_id, expires_at], salt=_SALT)
    return f"{settings.ENVIRONMENT.public_url}/tokens/{signed}/"


def read(signed: str, *, now: int | None = None) -> Question:
    """What a link says.

    Raises:
        TokenLinkInvalid: not signed by this server, or its time is over.
    """
    try:
        run_id, token_id, expires_at = signing.loads(signed, salt=_SALT)
    except (signing.BadSignature, ValueError, TypeError):
        raise TokenLinkInvalid("This link is not valid.") from None
    if expires_at <= (clock.now_ms() if now is None else now):
        raise TokenLinkInvalid("This link has expired.")
    return Question(run_id, token_id, expires_at)
