"""Which URLs a plugin may ask for: reading a URL, and matching its host with the declared ones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from sandbox.capabilities import suffixes
from sandbox.capabilities.arguments import invalid
from sandbox.capabilities.faults import Fault, Refused

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
#: A declared host: ``api.example.com``, ``*.example.com``, ``api.example.com:8443``, ``http://plain.example.com``.
PATTERN = rf"^(http://)?(\*\.)?({_LABEL}\.)*{_LABEL}(:[1-9][0-9]{{0,4}})?$"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_DECLARED = re.compile(PATTERN)
#: Names that belong to a network of one's own, whatever they resolve to.
_PRIVATE = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "svc", "cluster", "test", "invalid")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A URL that was read."""

    scheme: str
    host: str
    port: int
    #: Path and query, as it goes on the request line.
    path: str

    @property
    def authority(self) -> str:
        """The ``Host`` header."""
        default = 443 if self.scheme == "https" else 80
        return self.host if self.port == default else f"{self.host}:{self.port}"


def read(url: object) -> Target:
    """Read a URL: ``https`` or ``http``, printable ASCII, a name and not an address, no user, no fragment.

    Raises:
        Fault: ``invalid_url``.
        Refused: ``host_refused``: an address in any of its spellings, or a name of a private network.
    """
    if not isinstance(url, str) or not 1 <= len(url) <= 4096:
        raise invalid("url must be a text of 1 to 4096 characters.")
    if not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        raise Fault("invalid_url", "The URL may hold printable ASCII only, and no backslash.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Fault("invalid_url", "The URL cannot be read.") from None
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https"):
        raise Fault("invalid_url", "The URL must begin with https:// or http://.")
    if "@" in parts.netloc:
        raise Fault("invalid_url", "The URL may not hold a user or password.")
    if parts.netloc.endswith(":") or port == 0:
        raise Fault("invalid_url", "The port is not a number from 1 to 65535.")
    host = (parts.hostname or "").lower()
    if "[" in parts.netloc or not _NAME.fullmatch(host):
        raise Refused("host_refused", "The host must be a name in ASCII, without a trailing dot.")
    # Browsers and libc read such names as IPv4 addresses: 2130706433, 0x7f.1, 127.1.
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rsplit(".", 1)[-1]):
        raise Refused("host_refused", "The host must be a name, not an address.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(scheme=scheme, host=host, port=port or (443 if scheme == "https" else 80), path=path)


def is_allowed(target: Target, declared: Iterable[object]) -> bool:
    """Whether one of the declared hosts covers it: same scheme, same port, same name or one below the wildcard."""
    return any(isinstance(pattern, str) and _covers(pattern, target) for pattern in declared)


def _covers(pattern: str, target: Target) -> bool:
    pattern = pattern.lower()
    if not _DECLARED.fullmatch(pattern):
        return False
    scheme, default = ("http", 80) if pattern.startswith("http://") else ("https", 443)
    name, _, port = pattern.removeprefix("http://").partition(":")
    if target.scheme != scheme or target.port != int(port or default):
        return False
    if name.startswith("*."):
        # The apex is not below the wildcard: who needs it declares it.
        return target.host.endswith(name[1:]) and problem(pattern) is None
    return target.host == name


def problem(pattern: str) -> str | None:
    """What is wrong with a declared host, in words; ``None``: nothing. Used when a manifest is audited."""
    lowered = pattern.lower()
    if not _DECLARED.fullmatch(lowered):
        return "is not a host name, *.name, name:port or http://name"
    name = lowered.removeprefix("http://").partition(":")[0]
    port = lowered.removeprefix("http://").partition(":")[2]
    if port and int(port) > 65_535:
        return "has a port above 65535"
    labels = name.removeprefix("*.").split(".")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        return "is an address, not a name"
    if len(labels) == 1 or labels[-1] in _PRIVATE:
        return "is a name of a private network"
    if name.startswith("*.") and suffixes.is_shared(".".join(labels)):
        return "is a wildcard over names that anybody can have"
    return None
