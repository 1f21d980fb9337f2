"""Secrets at rest: kept encrypted under a key drawn from ``ZELAVIS_SECRET_KEY``."""

from __future__ import annotations

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from zelavis.errors import ZelavisError


class SecretUnreadable(ZelavisError):
    """A stored secret cannot be read with the present ZELAVIS_SECRET_KEY; set it again."""

    code = "secret_unreadable"
    status = 409


@lru_cache(maxsize=4)
def _box(key: str) -> Fernet:
    drawn = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"zelavis secrets at rest").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(drawn))


def seal(plain: str) -> str:
    """``plain`` as it may stand in a row. Empty stays empty."""
    return _box(settings.SECRET_KEY).encrypt(plain.encode()).decode("ascii") if plain else ""


def unseal(sealed: str) -> str:
    """The text behind :func:`seal`.

    Raises:
        SecretUnreadable: damaged, or sealed under another key.
    """
    if not sealed:
        return ""
    try:
        return _box(settings.SECRET_KEY).decrypt(sealed.encode()).decode()
    except (InvalidToken, UnicodeDecodeError) as error:
        raise SecretUnreadable from error
