"""How much one call may use. The lower of the host's and the manifest's limit wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

KIB = 1024
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one call. Every one is enforced; none may be zero."""

    #: Wall clock of the whole call in milliseconds, host calls included.
    deadline_ms: int = 250
    #: Instructions, counted exactly; ``None``: not counted (counting costs a quarter of the guest's speed).
    fuel: int | None = None
    #: Linear memory in bytes, what the plugin holds before the call included.
    memory_bytes: int = 16 * MIB
    #: Elements of all tables together.
    table_elements: int = 10_000
    #: The envelope in bytes.
    input_bytes: int = 256 * KIB
    #: The answer in bytes.
    output_bytes: int = 64 * KIB
    #: Host calls of every kind together, log lines not counted.
    host_calls: int = 50
    #: Requests and answers of all host calls together, in bytes.
    host_bytes: int = 4 * MIB
    #: Log lines together, in bytes; what is over is dropped and marked.
    log_bytes: int = 16 * KIB
    #: Nesting of JSON values, in the answer and in host calls.
    json_depth: int = 64

    def lowered(self, manifest: Mapping[str, Any] | None) -> Limits:
        """These limits, lowered by a manifest's ``limits`` (``deadlineMs``, ``memoryMb``, ``fuel`` …); never raised.

        Members that are unknown, not whole numbers or not positive change nothing.
        """
        if not manifest:
            return self
        lower: dict[str, int] = {}
        for member, name, unit in _MEMBERS:
            value = manifest.get(member)
            if type(value) is not int or value <= 0:
                continue
            present = getattr(self, name)
            asked = value * unit
            if present is None or asked < present:
                lower[name] = asked
        return replace(self, **lower) if lower else self

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is None and one.name == "fuel":
                continue
            if type(value) is not int or value <= 0:
                raise ValueError(f"limit {one.name} must be a whole number above zero, not {value!r}")


#: Member of the manifest, field here, bytes or units per 1.
_MEMBERS = (
    ("deadlineMs", "deadline_ms", 1),
    ("fuel", "fuel", 1),
    ("memoryMb", "memory_bytes", MIB),
    ("tableElements", "table_elements", 1),
    ("inputBytes", "input_bytes", 1),
    ("outputBytes", "output_bytes", 1),
    ("hostCalls", "host_calls", 1),
    ("hostBytes", "host_bytes", 1),
    ("logBytes", "log_bytes", 1),
    ("jsonDepth", "json_depth", 1),
)
