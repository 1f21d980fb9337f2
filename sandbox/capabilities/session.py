"""The host's side of one invocation: every host call passes here, is checked, counted and recorded.

Order of the checks of a host call: known, granted, not revoked meanwhile, time left, host calls, bytes, readable,
operation, calls of this capability per invocation and per hour; then its handler. What is refused by policy is a
``Refused`` and is counted; every other failure the guest may know of is a ``Fault``. An unexpected exception is
kept for the operator in ``host_error``, and the guest sees a stable code.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sandbox.capabilities import redaction, registry, wire
from sandbox.capabilities.base import Capability, Context, Handler, Operation
from sandbox.capabilities.faults import Fault, Refused
from sandbox.errors import CommitError
from sandbox.outcome import HostCall, LogLine, Refusal

if TYPE_CHECKING:
    from sandbox.call import Call
    from sandbox.capabilities.backends.protocol import Backend, Recorded
    from sandbox.limits import Limits

logger = logging.getLogger("sandbox.capabilities")

#: How many refusals of one call are kept in full; the rest are only counted.
MAX_REFUSALS = 100
#: How often a long call asks whether its grants still stand, in seconds.
REVOCATION_EVERY = 0.1
#: Uncounted calls (``log``) have their own limit; beyond this many they are answered without being looked at.
MAX_UNCOUNTED = 2000
#: Bytes of host calls that are kept for the tape, which is never as large; what comes after them is not kept.
MOST_KEPT = 4 << 20
_OVERHEAD = 200
_HOST_ERROR = b'{"error":"The host could not carry out this call.","code":"host_error"}'
_NULL = b'{"value":null}'
_NOTHING: frozenset[str] = frozenset()


class _Gate:
    """One capability during one call: what was found out about it at its first host call, and what was used."""

    __slots__ = ("allowed", "capability", "context", "counted", "denied", "handler", "hourly", "made", "name")

    def __init__(self, capability: Capability | None, family: str) -> None:
        self.capability = capability
        self.name = family[:100] if capability is None else capability.name
        self.counted = capability is None or capability.counted
        #: Why every call is refused: code and message.
        self.denied: tuple[str, str] | None = None
        self.context: Context | None = None
        self.handler: Handler | None = None
        self.allowed = 0
        self.hourly: int | None = None
        self.made = 0


class Session:
    """One per invocation; used from the thread of the call only."""

    __slots__ = (
        "_asked_at",
        "_backend",
        "_call",
        "_crossed",
        "_deadline",
        "_ended",
        "_gates",
        "_grants",
        "_kept",
        "_limits",
        "_redactions",
        "_redactor",
        "_revoked",
        "_shared",
        "_uncounted",
        "host_bytes",
        "host_calls",
        "host_error",
        "logs",
        "refusals",
        "refused",
    )

    def __init__(
        self,
        call: Call,
        grants: Mapping[str, Mapping[str, Any]],
        limits: Limits,
        *,
        deadline: float,
        backend: Backend,
    ) -> None:
        """``deadline`` is on ``time.monotonic()``; ``grants`` are the consented capabilities of the manifest."""
        self.host_calls = 0
        self.host_bytes = 0
        self.refusals: list[Refusal] = []
        self.refused = 0
        self.logs: list[LogLine] = []
        self.host_error: str | None = None
        self._call = call
        self._grants = grants
        self._limits = limits
        self._deadline = deadline
        self._backend = backend
        self._gates: dict[str, _Gate] = {}
        self._shared: dict[str, Any] = {}
        self._uncounted = 0
        #: Family, operation, request, answer, whether it was refused, seconds.
        self._crossed: list[tuple[str, str, bytes, bytes, bool, float]] = []
        self._kept = 0
        self._redactions: set[str] = set()
        self._redactor: tuple[int, redaction.Redactor] | None = None
        self._asked_at = time.monotonic()
        self._revoked: frozenset[str] = _NOTHING
        self._ended = False

    @property
    def transcript(self) -> list[HostCall]:
        """Every counted host call as the tape keeps it, secrets taken out. Made anew each time it is asked for."""
        return [
            HostCall(
                family=family[:100],
                op=operation,
                request=self._redacted(request[: self._limits.host_bytes]),
                answer=self._redacted(answer),
                refused=refused,
                duration_ms=seconds * 1000,
            )
            for family, operation, request, answer, refused, seconds in self._crossed
        ]

    # -- host calls ----------------------------------------------------------------------------------------------

    def dispatch(self, family: str, request: bytes) -> bytes:
        """Answer one host call with JSON bytes: ``{"value": …}`` or ``{"error": …, "code": …}``. Never raises."""
        started = time.monotonic()
        if self.host_error is not None or self._ended:
            return _HOST_ERROR
        gate = self._gates.get(family) or self._gate(family)
        operation = "?"
        refused = False
        try:
            if gate.counted and self._backend.recorded is not None:
                operation, answer, refused = self._from_tape(self._backend.recorded, gate, family, request)
            else:
                self._admit(gate, request, started)
                if gate.counted or self._uncounted <= MAX_UNCOUNTED:
                    operation, args = _read(request, self._limits.json_depth)
                    answer = self._carry_out(gate, operation, args)
                else:
                    answer = _NULL
        except Fault as fault:
            answer = wire.encode({"error": self._redact(fault.message), "code": fault.code}).encode()
            refused = isinstance(fault, Refused)
            if refused:
                self._refuse(gate.name, operation, fault.code, fault.message)
        except Exception:
            # Whatever a handler did not expect must not reach the guest, which could read paths and names from it.
            self.host_error = self._redact(traceback.format_exc(limit=12))
            logger.exception("host call failed", extra={"call": self._call.id, "capability": family[:100]})
            answer = _HOST_ERROR
        if gate.counted and self._kept < MOST_KEPT:
            self._crossed.append((family, operation, request, answer, refused, time.monotonic() - started))
            self._kept += len(request) + len(answer) + _OVERHEAD
        return answer

    def _gate(self, family: str) -> _Gate:
        capability = registry.by_import(family)
        gate = _Gate(capability, family)
        if capability is None:
            # Not kept: a guest could ask for any number of names.
            gate.denied = ("unknown_capability", f"There is no capability {family[:100]!r}.")
            return gate
        self._gates[family] = gate
        if capability.declared and self._grants.get(capability.name) is None:
            gate.denied = ("capability_denied", f"{capability.name} was not granted to {self._call.plugin}.")
        return gate

    def _admit(self, gate: _Gate, request: bytes, now: float) -> None:
        """Everything that is checked before a request is read."""
        limits = self._limits
        if gate.counted:
            self.host_calls += 1
        if gate.denied is not None:
            raise Refused(*gate.denied)
        if now - self._asked_at >= REVOCATION_EVERY:
            self._ask_again(now)
        if self._revoked:
            self._still_granted(gate)
        if self._deadline <= now:
            raise Refused("deadline", "The call has no time left.")
        if not gate.counted:
            self._uncounted += 1
        elif self.host_calls > limits.host_calls:
            raise Refused("host_calls_exceeded", f"A call may make {limits.host_calls} host calls.")
        if len(request) > limits.host_bytes:
            raise Refused("host_bytes_exceeded", f"A call may exchange {limits.host_bytes} bytes.")
        if gate.counted:
            self._weigh(len(request))

    def _carry_out(self, gate: _Gate, operation: str, args: list[Any]) -> bytes:
        handler = gate.handler or self._open(gate)
        capability = handler.context.capability
        described = capability.operations.get(operation, _UNKNOWN)
        if capability.declared:
            self._count(gate)
        value = described.run(handler, args)
        if value is None:
            answer = _NULL
        elif type(value) is wire.Encoded:
            answer = f'{{"value":{value}}}'.encode()
        else:
            answer = wire.encode({"value": value}).encode()
        self._weigh(len(answer))
        return answer

    def _from_tape(self, tape: Recorded, gate: _Gate, family: str, request: bytes) -> tuple[str, bytes, bool]:
        self.host_calls += 1
        told = tape.answer(family, request)
        if told.refused:
            answer = wire.decode(told.answer)
            self._refuse(gate.name, told.op, answer["code"], answer["error"])
        return told.op, told.answer, told.refused

    def _open(self, gate: _Gate) -> Handler:
        capability = gate.capability
        if capability is None:
            raise LookupError("no capability to open")
        gate.context = Context(
            call=self._call,
            capability=capability,
            grant=self._grants.get(capability.name) or {},
            limits=self._limits,
            backend=self._backend,
            deadline=self._deadline,
            redactions=self._redactions,
            logs=self.logs,
            grants=self._grants,
            shared=self._shared,
        )
        if capability.declared:
            gate.allowed = gate.context.quantity("callsPerInvocation", capability.default_calls)
            gate.hourly = gate.context.hourly()
        handler = gate.handler = capability.open(gate.context)
        return handler

    def _count(self, gate: _Gate) -> None:
        """One more call of this capability: per invocation, and per hour where that is limited."""
        if gate.made >= gate.allowed:
            raise Refused("calls_exceeded", f"{gate.name}: {gate.allowed} calls each time the plugin runs are used up.")
        if gate.hourly is not None and gate.context is not None:
            gate.context.charge("calls", gate.hourly)
        gate.made += 1

    def _weigh(self, octets: int) -> None:
        self.host_bytes += octets
        if self.host_bytes > self._limits.host_bytes:
            raise Refused("host_bytes_exceeded", f"A call may exchange {self._limits.host_bytes} bytes with its host.")

    def _ask_again(self, now: float) -> None:
        self._asked_at = now
        self._revoked = self._revoked.union(*(ask(self._call) for ask in registry.REVOCATIONS))

    def _still_granted(self, gate: _Gate) -> None:
        declared = gate.capability is not None and gate.capability.declared
        if declared and (gate.name in self._revoked or "*" in self._revoked):
            raise Refused("capability_denied", f"{gate.name} was taken from {self._call.plugin} meanwhile.")

    def _refuse(self, capability: str, operation: str, code: str, message: str) -> None:
        self.refused += 1
        if len(self.refusals) < MAX_REFUSALS:
            self.refusals.append(Refusal(capability=capability, op=operation, code=code, message=self._redact(message)))

    def _blank(self) -> redaction.Redactor:
        """For the secrets that were used so far."""
        if self._redactor is None or self._redactor[0] != len(self._redactions):
            self._redactor = (len(self._redactions), redaction.Redactor(self._redactions))
        return self._redactor[1]

    def _redact(self, text: str) -> str:
        return self._blank().text(text) if self._redactions else text

    def _redacted(self, data: bytes) -> bytes:
        return self._blank().octets(data) if self._redactions else data

    # -- the end of the call -------------------------------------------------------------------------------------

    def commit(self, record: Callable[[], None] | None = None) -> None:
        """Apply what the call wrote, in one transaction.

        ``record`` is called in the same transaction and keeps the record of the call; when it raises, nothing stands.

        Raises:
            CommitError: nothing was applied.
        """
        if self._ended:
            return
        self._ended = True
        handlers = self._handlers()
        dirty = [handler for handler in handlers if handler.dirty]
        try:
            for handler in dirty:
                handler.prepare()
            self._redact_logs()
            if dirty:
                with self._backend.transaction():
                    for handler in dirty:
                        handler.commit()
                    if record is not None:
                        record()
            elif record is not None:
                record()
        except CommitError:
            raise
        except Exception as error:
            # A storage failure: the operator reads it in the log and in the outcome, the plugin is not told.
            self.host_error = self._redact(traceback.format_exc(limit=12))
            logger.exception("commit failed", extra={"call": self._call.id})
            raise CommitError from error
        else:
            self._announce(dirty)
        finally:
            self._close(handlers)
            self._redact_logs()

    def _handlers(self) -> list[Handler]:
        """Those that were used, by name: two calls that commit to the same stores take their locks in one order."""
        used = [gate for gate in self._gates.values() if gate.handler is not None]
        if len(used) > 1:
            used.sort(key=lambda gate: gate.name)
        return [gate.handler for gate in used if gate.handler is not None]

    def _announce(self, handlers: list[Handler]) -> None:
        for handler in handlers:
            try:
                handler.after_commit()
            except Exception:
                # The writes stand; a bell that did not ring is made up for by the next sweep.
                logger.exception("commit not announced", extra={"call": self._call.id})

    def discard(self) -> None:
        """Forget what the call wrote; what it counted stays counted. Never raises."""
        if self._ended:
            return
        self._ended = True
        self._close(self._handlers())
        self._redact_logs()

    def _close(self, handlers: list[Handler]) -> None:
        for handler in handlers:
            try:
                handler.close()
            except Exception:
                # One lock that could not be given back runs out by itself; the others must still be given back.
                logger.exception("handler not closed", extra={"call": self._call.id})

    def _redact_logs(self) -> None:
        if self._redactions:
            self.logs[:] = [LogLine(level=line.level, message=self._redact(line.message)) for line in self.logs]


def _unknown(handler: Handler, args: list[Any]) -> None:
    raise Fault("unknown_operation", f"{handler.context.capability.name} has no such operation.")


_UNKNOWN = Operation(name="?", run=_unknown, signature="", text="")


def _read(request: bytes, depth: int) -> tuple[str, list[Any]]:
    try:
        message = wire.decode(request, depth=depth)
    except wire.WireError as error:
        raise Fault("invalid_request", str(error)) from None
    if not isinstance(message, dict) or not message.keys() <= {"op", "args"}:
        raise Fault("invalid_request", 'A request is {"op": text, "args": [...]}.')
    operation, args = message.get("op"), message.get("args", [])
    if not isinstance(operation, str) or not isinstance(args, list):
        raise Fault("invalid_request", 'A request is {"op": text, "args": [...]}.')
    return operation, args
