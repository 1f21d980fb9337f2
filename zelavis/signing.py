"""Signed HTTP messages in the form of Standard Webhooks 1.0, used between Zelavis and plugin workers.

A message carries ``webhook-id``, ``webhook-timestamp`` (Unix seconds) and ``webhook-signature``:
``v1,`` and the base64 HMAC-SHA256 of ``{id}.{timestamp}.{body}``; several signatures, separated by spaces,
are accepted while a key is being changed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence

from zelavis.errors import ZelavisError

#: A message older or newer than this many seconds is refused.
TOLERANCE_SECONDS = 300
#: A time with more digits is none: what is sent here may have thousands, and no number type takes those.
_MAX_DIGITS = 15


class BadSignature(ZelavisError):
    """The message is not signed with a known key, or its time is too far off."""

    code = "bad_signature"
    status = 401


def sign(body: bytes, *, key: str | Sequence[str], message_id: str, timestamp: int | None = None) -> dict[str, str]:
    """The headers for ``body``. A key is any text; ``whsec_`` and base64 means raw key bytes.

    Of several keys, while one is being changed, each signs; ``zelavis-key-id`` names them in the same order.
    """
    moment = int(time.time()) if timestamp is None else timestamp
    keys = [key] if isinstance(key, str) else key
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join("v1," + _mac(body, one, message_id, str(moment)) for one in keys),
        "zelavis-key-id": " ".join(key_id(one) for one in keys),
    }


def verify(body: bytes, headers: Mapping[str, str], *, keys: Sequence[str], now: float | None = None) -> str:
    """Check the signature over the exact bytes received and return the message id.

    Raises:
        BadSignature: a header is missing, the time is off by more than five minutes, or no key fits.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    message_id = lowered.get("webhook-id", "")
    timestamp = lowered.get("webhook-timestamp", "")
    if not message_id or not timestamp.isascii() or not timestamp.isdigit():
        raise BadSignature("The message lacks webhook-id or webhook-timestamp.")
    moment = time.time() if now is None else now
    if len(timestamp) > _MAX_DIGITS or abs(moment - int(timestamp)) > TOLERANCE_SECONDS:
        raise BadSignature("The message's webhook-timestamp is more than five minutes off.")
    given = [part[3:] for part in lowered.get("webhook-signature", "").split() if part.startswith("v1,")]
    expected = [_mac(body, key, message_id, timestamp) for key in keys]
    if not any(hmac.compare_digest(one.encode(), two.encode()) for one in given for two in expected):
        raise BadSignature("The message's signature does not match its body.")
    return message_id


def key_id(key: str) -> str:
    """Eight hexadecimal digits that name a key and say nothing of it.

    Raises:
        ValueError: the key says ``whsec_`` and is not base64.
    """
    return hmac.new(_raw(key), b"zelavis key id", hashlib.sha256).hexdigest()[:8]


def _raw(key: str) -> bytes:
    return base64.b64decode(key[6:], validate=True) if key.startswith("whsec_") else key.encode()


def _mac(body: bytes, key: str, message_id: str, timestamp: str) -> str:
    mac = hmac.new(_raw(key), f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()
