"""Compiled code on disk: found by what it was made from, believed only with our own signature.

A compiled module is native code, and its loader accepts damaged ones. So every file begins with a MAC over the rest
and over its key, made with a key derived from ``SECRET_KEY``; a file that does not verify is as good as none. Files are
read whole, verified and loaded from memory, so that nothing can be exchanged in between, and written beside and
renamed.

Sources are kept too, under their own digest, so that a module can be compiled again at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings

_MAC = 32
_LENGTH = 4


def root() -> Path:
    """Where artifacts are kept."""
    return Path(settings.DATA_DIR) / "artifacts"


def key(*facts: str) -> str:
    """The name of what was made from ``facts``."""
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


def read(name: str) -> tuple[dict[str, Any], bytes] | None:
    """Header and body kept under ``name``; ``None`` when there is none or it is not ours."""
    try:
        content = _path(name).read_bytes()
    except OSError:
        return None
    sealed = content[_MAC:]
    if len(sealed) < _LENGTH or not hmac.compare_digest(content[:_MAC], _mac(name, sealed)):
        return None
    length = int.from_bytes(sealed[:_LENGTH])
    header = json.loads(sealed[_LENGTH : _LENGTH + length])
    return header, sealed[_LENGTH + length :]


def write(name: str, header: dict[str, Any], body: bytes) -> None:
    """Keep ``body`` under ``name``."""
    encoded = json.dumps(header).encode()
    sealed = len(encoded).to_bytes(_LENGTH) + encoded + body
    _place(_path(name), _mac(name, sealed) + sealed)


def keep_source(source: bytes, *, kind: str) -> str:
    """Keep a plugin's source and give its digest."""
    digest = hashlib.sha256(source).hexdigest()
    path = root() / "sources" / f"{digest}.{kind}"
    try:
        kept = path.read_bytes()
    except OSError:
        kept = None
    if kept != source:
        _place(path, source)
    return digest


def source(digest: str, *, kind: str) -> bytes | None:
    """The source with this digest; ``None`` when there is none, or the file holds something else."""
    try:
        content = (root() / "sources" / f"{digest}.{kind}").read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == digest else None


def _path(name: str) -> Path:
    return root() / "compiled" / f"{name}.bin"


def _mac(name: str, sealed: bytes) -> bytes:
    secret = hashlib.sha256(b"zelavis.sandbox.artifacts.v1\0" + settings.SECRET_KEY.encode()).digest()
    return hmac.new(secret, name.encode() + b"\0" + sealed, hashlib.sha256).digest()


def _place(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with staged.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            staged.unlink()
