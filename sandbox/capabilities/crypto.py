"""``crypto``: random bytes and digests. Every plugin has it.

Random bytes come from the call's seed, so that a recorded call replays to the same result. The seed is 64 secret,
unguessable bits of the host's own generator: enough for identifiers and nonces, and no place to make long-lived keys.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any, ClassVar

from sandbox.capabilities import arguments
from sandbox.capabilities.base import Capability, Context, Handler, Operation

MAX_RANDOM = 65_536
MAX_DIGEST = 1 << 20
_ALGORITHMS = {"SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


class CryptoHandler(Handler):
    """A generator seeded by the call."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._drawn = 0

    def random_bytes(self, args: list[Any]) -> str:
        arguments.no_more(args, 1)
        size = arguments.whole(arguments.get(args, 0, name="size"), name="size", least=1, most=MAX_RANDOM)
        call = self.context.call
        key = hashlib.sha256(f"zelavis.crypto.v1 {call.seed} {call.id}".encode()).digest()
        material = hashlib.shake_256(key + self._drawn.to_bytes(8, "big")).digest(size)
        self._drawn += 1
        return base64.b64encode(material).decode()

    def digest(self, args: list[Any]) -> str:
        arguments.no_more(args, 3)
        name, data = _input(args)
        return hashlib.new(name, data, usedforsecurity=False).hexdigest()

    def hmac(self, args: list[Any]) -> str:
        arguments.no_more(args, 4)
        key = arguments.get(args, 1, name="key")
        if not isinstance(key, str) or len(key) > 4096:
            raise arguments.invalid("key must be a text of at most 4096 characters.")
        name, data = _input([args[0], *args[2:]])
        return hmac.new(key.encode(), data, name).hexdigest()


def _input(args: list[Any]) -> tuple[str, bytes]:
    algorithm = arguments.get(args, 0, name="algorithm")
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
        raise arguments.invalid(f"algorithm must be one of {', '.join(_ALGORITHMS)}.")
    data = arguments.get(args, 1, name="data")
    encoding = arguments.get(args, 2, "utf-8", name="encoding")
    if encoding == "base64":
        return _ALGORITHMS[algorithm], arguments.octets(data, name="data", most=MAX_DIGEST)
    if encoding != "utf-8":
        raise arguments.invalid("encoding must be utf-8 or base64.")
    if not isinstance(data, str) or len(data) > MAX_DIGEST:
        raise arguments.invalid(f"data must be a text of at most {MAX_DIGEST} characters.")
    return _ALGORITHMS[algorithm], data.encode()


class Crypto(Capability):
    """Random bytes and digests."""

    name = "crypto"
    summary = "Random bytes, digests and HMAC. Needs no declaration."
    risk = "Computes digests."
    declared = False
    handler = CryptoHandler
    operations: ClassVar[dict[str, Operation]] = {
        operation.name: operation
        for operation in (
            Operation(
                name="randomBytes",
                run=CryptoHandler.random_bytes,
                signature="randomBytes(size) → base64",
                text="1 to 65,536 bytes from the seed of the call.",
            ),
            Operation(
                name="digest",
                run=CryptoHandler.digest,
                signature='digest(algorithm, data, encoding = "utf-8") → hex',
                text="SHA-1, SHA-256, SHA-384 or SHA-512 of text or of base64 bytes.",
            ),
            Operation(
                name="hmac",
                run=CryptoHandler.hmac,
                signature='hmac(algorithm, key, data, encoding = "utf-8") → hex',
                text="A keyed digest, to sign requests and check webhooks.",
            ),
        )
    }
