"""What a capability is: a name, its operations, its quantities, its risk in words, and a handler a call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings

from sandbox import interrupts
from sandbox.capabilities.faults import Refused

if TYPE_CHECKING:
    from sandbox.call import Call
    from sandbox.capabilities.backends.protocol import Backend
    from sandbox.limits import Limits
    from sandbox.outcome import LogLine

#: Quantities every declared capability has.
COMMON_QUANTITIES: dict[str, Any] = {
    "reason": {
        "type": "string",
        "minLength": 1,
        "maxLength": 500,
        "description": "What the plugin needs it for; shown to whoever reviews it and whoever consents.",
    },
    "callsPerInvocation": {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "description": "How many calls one invocation may make.",
    },
    "callsPerHour": {
        "type": "integer",
        "minimum": 1,
        "maximum": 10_000_000,
        "description": "How many calls the plugin may make in a clock hour.",
    },
}


def amount(value: Any) -> str:
    """A count for people to read: ``100,000``. What is no number stays as it is."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def size(value: Any) -> str:
    """A count of bytes for people to read: ``900 bytes``, ``64 KiB``, ``1.5 MiB``."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if isinstance(value, int) and value >= unit:
            return f"{value / unit:,.1f}".removesuffix(".0") + f" {name}"
    return f"{amount(value)} bytes"


_NO_CEILINGS: Mapping[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of a capability."""

    name: str
    #: ``(handler, args) -> JSON value``, or ``wire.Encoded``; raises ``Fault`` or ``Refused``.
    run: Callable[[Any, list[Any]], Any]
    #: Documentation: ``get(key) → value or null``.
    signature: str
    #: One sentence.
    text: str


@dataclass(kw_only=True, slots=True)
class Context:
    """What a handler may use of its call."""

    call: Call
    capability: Capability
    #: The consented quantities of this capability.
    grant: Mapping[str, Any]
    limits: Limits
    backend: Backend
    #: On ``time.monotonic()``.
    deadline: float
    #: Texts that must never reach a record: each is replaced in transcript and logs.
    redactions: set[str]
    #: What the plugin wrote to its log so far.
    logs: list[LogLine]
    #: All consented capabilities of the call.
    grants: Mapping[str, Mapping[str, Any]]
    #: What handlers of one call know of each other (reads that see another capability's writes).
    shared: dict[str, Any]
    #: The operator's quantities for this capability.
    ceilings: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.ceilings = settings.SANDBOX_CEILINGS.get(self.capability.name, _NO_CEILINGS)

    @property
    def plugin(self) -> str:
        """The plugin's name: every store is divided by it."""
        return self.call.plugin

    def remaining(self) -> float:
        """Seconds left of the call, never below zero; none when it was interrupted."""
        if interrupts.is_interrupted(self.call):
            return 0.0
        return max(0.0, self.deadline - time.monotonic())

    def quantity(self, name: str, default: int) -> int:
        """A number of the grant, never above the operator's (``settings.SANDBOX_CEILINGS``)."""
        value = self.grant.get(name, default)
        # A grant was checked against the schema when it was consented to; anything else grants nothing.
        granted = value if type(value) is int and value >= 0 else 0
        ceiling = self.ceilings.get(name)
        return granted if ceiling is None else min(granted, int(ceiling))

    def hourly(self) -> int | None:
        """How many calls an hour the plugin may make; ``None``: not counted."""
        default = self.capability.default_hourly
        if default is None and "callsPerHour" not in self.grant and "callsPerHour" not in self.ceilings:
            return None
        return self.quantity(
            "callsPerHour", COMMON_QUANTITIES["callsPerHour"]["maximum"] if default is None else default
        )

    def charge(self, meter: str, limit: int, *, amount: int = 1) -> None:
        """Count an hourly quantity, at once; it stays counted when the call fails.

        Raises:
            Refused: ``quota_exceeded``; nothing was counted.
        """
        name = f"{self.capability.name}.{meter}"
        if not self.backend.charge(self.call.plugin, name, amount, limit, now_ms=self.call.now_ms):
            raise Refused("quota_exceeded", f"{self.capability.name}: {limit} {meter} an hour are used up.")


class Handler:
    """One capability during one call. Holds what the call has written and not yet committed."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @property
    def dirty(self) -> bool:
        """Whether :meth:`commit` has anything to do."""
        return False

    def prepare(self) -> None:
        """What has to be done before the transaction begins (files are written here); undone in :meth:`close`."""

    def commit(self) -> None:
        """Apply the buffered writes. Runs inside the session's transaction.

        Raises:
            CommitError: nothing of the call may be applied.
        """

    def after_commit(self) -> None:
        """What may only be done once the writes stand."""

    def close(self) -> None:
        """Let go of what the call held (locks), whether it was committed or not. Called exactly once."""


class Capability:
    """A declared power over something of the host. One instance a process, without state."""

    #: As in the manifest: ``content:read``.
    name: ClassVar[str]
    #: The documentation line.
    summary: ClassVar[str]
    #: What a person who consents must know, in one sentence.
    risk: ClassVar[str]
    #: ``low``, ``medium`` or ``high``: how a review weighs it.
    risk_level: ClassVar[str] = "low"
    #: JSON Schema ``properties`` of its quantities, beside the common ones.
    quantities: ClassVar[Mapping[str, Any]] = {}
    #: Quantities that a manifest must give.
    required: ClassVar[tuple[str, ...]] = ()
    operations: ClassVar[Mapping[str, Operation]] = {}
    handler: ClassVar[type[Handler]] = Handler
    #: ``False``: every plugin has it, and a manifest does not name it.
    declared: ClassVar[bool] = True
    #: ``False``: its calls do not count as host calls (it has its own limit).
    counted: ClassVar[bool] = True
    #: How many calls an invocation may make where the manifest says nothing.
    default_calls: ClassVar[int] = 50
    #: How many calls an hour a plugin may make where the manifest says nothing; ``None``: no hourly count.
    default_hourly: ClassVar[int | None] = None

    @property
    def import_name(self) -> str:
        """The function a wasm plugin imports from ``zelavis_v1``."""
        return self.name.replace(":", "_")

    def schema(self) -> dict[str, Any]:
        """JSON Schema of this capability's entry in a manifest."""
        return {
            "type": "object",
            "properties": {**COMMON_QUANTITIES, **self.quantities},
            "required": ["reason", *self.required],
            "additionalProperties": False,
        }

    def problems(self, asked: Mapping[str, Any]) -> list[str]:
        """What is wrong with an entry of a manifest that the schema cannot say, in words; empty: nothing."""
        return []

    def explain(self, grant: Mapping[str, Any]) -> str:
        """The grant in words, for the page where a person consents: the risk and every quantity."""
        numbers = []
        calls = grant.get("callsPerInvocation", self.default_calls)
        numbers.append(f"at most {amount(calls)} calls each time it runs")
        hourly = grant.get("callsPerHour", self.default_hourly)
        if hourly is not None:
            numbers.append(f"{amount(hourly)} an hour")
        numbers += self.explain_quantities(grant)
        return f"{self.risk} Limits: {', '.join(numbers)}."

    def explain_quantities(self, grant: Mapping[str, Any]) -> list[str]:
        """The quantities of its own, in words."""
        return []

    def open(self, context: Context) -> Handler:
        """A handler for one call."""
        return self.handler(context)
