"""Ed25519: the keys of publishers, and the key with which this server signs what it approves and revokes.

A publisher signs the bytes ``zelavis-bundle-v1`` LF and the bundle's SHA-256 in hexadecimal. The server signs with a
key derived from its secret key, so that every process and host has the same one and none has to be kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import datetime
from functools import cache

from cryptography.exceptions import InvalidSignature as _Invalid
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from marketplace.errors import InvalidSignature
from marketplace.models import Publisher, PublisherKey, Release

BUNDLE_CONTEXT = b"zelavis-bundle-v1\n"


def key_id(public: bytes) -> str:
    """16 hexadecimal digits that name a public key."""
    return hashlib.sha256(public).hexdigest()[:16]


def verify(public_key: str, message: bytes, signature: str) -> bool:
    """Whether a base64 signature fits a base64 raw public key. Malformed input is a plain no."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature, validate=True), message)
    except (ValueError, binascii.Error, _Invalid):
        return False
    return True


def check(publisher: Publisher, digest: str, signature: str, *, now: datetime) -> PublisherKey | None:
    """The publisher's live key that signed a bundle; ``None``: unsigned, and the publisher never signed before.

    Raises:
        InvalidSignature: no live key of this publisher fits; or nothing is signed, by a publisher who signs.
    """
    if not signature:
        signs = Release.objects.filter(publisher=publisher, signed_by__isnull=False).exists()
        if signs:
            raise InvalidSignature(f"{publisher.slug} signs its releases; this bundle is not signed.")
        return None
    live = [
        key
        for key in PublisherKey.objects.filter(publisher=publisher, revoked_at=None)
        if key.expires_at is None or key.expires_at > now
    ]
    for key in live:
        if verify(key.public_key, BUNDLE_CONTEXT + digest.encode(), signature):
            return key
    raise InvalidSignature(f"No live key of {publisher.slug} made this signature.")


def server_key() -> Ed25519PrivateKey:
    """The server's signing key."""
    return _derive(settings.SECRET_KEY)


@cache
def _derive(secret: str) -> Ed25519PrivateKey:
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"zelavis marketplace ed25519 v1")
    return Ed25519PrivateKey.from_private_bytes(derived.derive(secret.encode()))


def server_public_key() -> str:
    """Raw public key, base64."""
    return base64.b64encode(server_key().public_key().public_bytes_raw()).decode()


def sign(message: bytes) -> str:
    """The server's signature, base64."""
    return base64.b64encode(server_key().sign(message)).decode()


def is_public_key(text: str) -> bool:
    """Whether a text is a base64 raw Ed25519 public key."""
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        return False
    return True
