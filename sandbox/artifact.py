"""A deployed plugin as a value: what it is, not where its code lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: ``javascript``: a module's source; ``wasm``: a core WebAssembly module of ABI v1.
Kind = Literal["javascript", "wasm"]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A plugin that passed the checks and is ready to be called."""

    #: sha256 of the source, 64 hexadecimal digits; the content address.
    digest: str
    kind: Kind
    #: Hooks with a handler, read from the evaluated module; ``None`` where only the guest knows (wasm).
    hooks: tuple[str, ...] | None = None
    #: Routes with a handler, as ``GET /stats``; ``None`` where only the guest knows.
    routes: tuple[str, ...] | None = None
    #: Linear memory before a call, in bytes.
    memory_bytes: int = 0
