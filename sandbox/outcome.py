"""What came of a call: always a value, never an exception."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class OutcomeStatus(StrEnum):
    """How a call ended."""

    #: The handler returned; its buffered writes are stored.
    OK = "ok"
    #: The plugin said no: it returned ``{reject: …}`` or threw an error with the code ``rejected``.
    REJECTED = "rejected"
    #: The wall clock ran out.
    DEADLINE = "deadline"
    #: It needed more memory than it may have.
    MEMORY = "memory"
    #: It used up its instructions.
    FUEL = "fuel"
    #: The guest failed: an uncaught error, an illegal instruction, a stack overflow, a bad pointer.
    TRAP = "trap"
    #: The answer is not the JSON that the ABI asks for.
    OUTPUT_INVALID = "output_invalid"
    #: The answer is larger than it may be.
    OUTPUT_TOO_LARGE = "output_too_large"
    #: A host call was refused and the plugin did not handle it.
    CAPABILITY_DENIED = "capability_denied"
    #: Our fault: storage, a bug, a process in a state in which nothing may run.
    HOST_ERROR = "host_error"
    #: It was ended from outside: its plugin was stopped or withdrawn while it ran.
    CANCELLED = "cancelled"
    #: No slot became free in time, or the call is nested too deep; nothing ran.
    BUSY = "busy"


@dataclass(frozen=True, kw_only=True)
class GuestError:
    """The error as the guest tells it; never more than the plugin's own words, except for our own short texts."""

    name: str = "Error"
    message: str = ""
    #: The guest's stack, of the plugin's own frames.
    stack: str = ""
    #: The plugin's or a host call's code; our own for limits and traps.
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A host call that was answered with no."""

    #: ``kv``, ``content:read`` …
    capability: str
    op: str
    #: ``capability_denied``, ``quota_exceeded`` …: the code the guest sees.
    code: str
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line the plugin wrote."""

    #: ``info``, ``warn`` or ``error``.
    level: str
    message: str


@dataclass(frozen=True, kw_only=True)
class HostCall:
    """One host call as the tape keeps it: the bytes that crossed, with secrets taken out."""

    family: str
    request: bytes
    answer: bytes
    #: The operation; ``?`` when the request could not be read.
    op: str = "?"
    #: Whether the answer is a refusal of policy.
    refused: bool = False
    #: How long the host took.
    duration_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of one call."""

    status: OutcomeStatus
    #: What the handler returned; ``None`` unless ``ok`` or ``rejected``.
    result: Any = None
    error: GuestError | None = None
    #: From admission to the end, storage of the buffered writes included, the ledger row excluded.
    duration_ms: float = 0.0
    #: Peak linear memory.
    memory_bytes: int = 0
    host_calls: int = 0
    refusals: tuple[Refusal, ...] = ()
    logs: tuple[LogLine, ...] = ()
    #: Instructions used; ``None`` where they were not counted.
    fuel: int | None = None
    #: For operators alone: host details that no plugin and no caller may see.
    operator_detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the handler returned and its writes are stored."""
        return self.status is OutcomeStatus.OK
