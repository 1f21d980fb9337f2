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

from sandbox.capabilities import registry, wire
from sandbox.capabilities.base import Capability, Context, Handler, Operation
from sandbox.capabilities.faults import Fault, Refused
from sandbox.errors import CommitError
from sandbox.outcome import HostCall, LogLine, Refusal

if TYPE_CHECKING:
    from sandbox.call import Call
    from sandbox.capabilities.backends.protocol import Backend
    from sandbox.limits import Limits

logger = logging.getLogger("sandbox.capabilities")

#: How many refusals of one call are kept in full; the rest are only counted.
MAX_REFUSALS = 100
#: How often a long call asks whether its grants still stand, in seconds.
REVOCATION_EVERY = 0.1
#: Uncounted calls (``log``) have their own limit; beyond this many they are answered without being looked at.
MAX_UNCOUNTED = 2000
_HOST_ERROR = '{"error":"The host could not carry out this call.","code":"host_error"}'


class Session:
    """One per invocation; used from the thread of the call only."""

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
        self.transcript: list[HostCall] = []
        self.host_error: str | None = None
        self._call = call
        self._grants = grants
        self._limits = limits
        self._deadline = deadline
        self._backend = backend
        self._contexts: dict[str, Context] = {}
        self._shared: dict[str, Any] = {}
        self._handlers: dict[str, Handler] = {}
        self._calls: dict[str, int] = {}
        self._uncounted = 0
        self._redactions: set[str] = set()
        self._asked_at = time.monotonic()
        self._revoked: frozenset[str] = frozenset()
        self._ended = False

    # -- host calls ----------------------------------------------------------------------------------------------

    def dispatch(self, family: str, request: bytes) -> bytes:
        """Answer one host call with JSON bytes: ``{"value": …}`` or ``{"error": …, "code": …}``. Never raises."""
        started = time.perf_counter()
        capability = registry.by_import(family)
        operation = "?"
        refused = False
        if self.host_error is not None or self._ended:
            return _HOST_ERROR.encode()
        try:
            recorded = self._backend.recorded
            if recorded is not None and (capability is None or capability.counted):
                self.host_calls += 1
                call = recorded.answer(family, request)
                operation, answer, refused = call.op, call.answer.decode(), call.refused
                if refused:
                    told = wire.decode_text(answer)
                    self._refuse(capability.name if capability else family, operation, told["code"], told["error"])
            else:
                operation, value = self._carry_out(family, capability, request)
                answer = wire.encode({"value": value})
                self._weigh(len(answer))
        except _Failed as failed:
            operation, fault = failed.operation, failed.fault
            answer = wire.encode({"error": self._redact(fault.message), "code": fault.code})
            refused = isinstance(fault, Refused)
            if refused:
                self._refuse(capability.name if capability else family[:100], operation, fault.code, fault.message)
        except Refused as fault:
            answer = wire.encode({"error": fault.message, "code": fault.code})
            refused = True
            self._refuse(capability.name if capability else family[:100], operation, fault.code, fault.message)
        except Exception:
            # Whatever a handler did not expect must not reach the guest, which could read paths and names from it.
            self.host_error = self._redact(traceback.format_exc(limit=12))
            logger.exception("host call failed", extra={"call": self._call.id, "capability": family[:100]})
            answer = _HOST_ERROR
        if capability is None or capability.counted:
            self.transcript.append(
                HostCall(
                    family=family[:100],
                    op=operation,
                    request=self._redacted(request[: self._limits.host_bytes]),
                    answer=self._redact(answer).encode(),
                    refused=refused,
                    duration_ms=(time.perf_counter() - started) * 1000,
                )
            )
        return answer.encode()

    def _carry_out(self, family: str, capability: Capability | None, request: bytes) -> tuple[str, Any]:
        operation = "?"
        try:
            if capability is None:
                self.host_calls += 1
                raise Refused("unknown_capability", f"There is no capability {family[:100]!r}.")
            if capability.counted:
                self.host_calls += 1
            grant = self._grants.get(capability.name)
            if capability.declared and grant is None:
                raise Refused("capability_denied", f"{capability.name} was not granted to {self._call.plugin}.")
            self._still_granted(capability)
            if self._deadline - time.monotonic() <= 0:
                raise Refused("deadline", "The call has no time left.")
            if not capability.counted:
                self._uncounted += 1
                if self._uncounted > MAX_UNCOUNTED:
                    return operation, None
            elif self.host_calls > self._limits.host_calls:
                raise Refused("host_calls_exceeded", f"A call may make {self._limits.host_calls} host calls.")
            if len(request) > self._limits.host_bytes:
                raise Refused("host_bytes_exceeded", f"A call may exchange {self._limits.host_bytes} bytes.")
            if capability.counted:
                self._weigh(len(request))
            operation, args = _read(request, self._limits.json_depth)
            handler = self._handlers.get(capability.name) or self._open(capability, grant or {})
            described = capability.operations.get(operation, _UNKNOWN)
            if capability.declared:
                self._count(capability)
            return operation, described.run(handler, args)
        except Fault as fault:
            raise _Failed(operation, fault) from None

    def _open(self, capability: Capability, grant: Mapping[str, Any]) -> Handler:
        context = Context(
            call=self._call,
            capability=capability,
            grant=grant,
            limits=self._limits,
            backend=self._backend,
            deadline=self._deadline,
            redactions=self._redactions,
            logs=self.logs,
            grants=self._grants,
            shared=self._shared,
        )
        self._contexts[capability.name] = context
        handler = self._handlers[capability.name] = capability.open(context)
        return handler

    def _count(self, capability: Capability) -> None:
        """One more call of this capability: per invocation, and per hour where that is limited."""
        context = self._contexts[capability.name]
        allowed = context.quantity("callsPerInvocation", capability.default_calls)
        made = self._calls.get(capability.name, 0) + 1
        if made > allowed:
            raise Refused(
                "calls_exceeded", f"{capability.name}: {allowed} calls each time the plugin runs are used up."
            )
        hourly = context.hourly()
        if hourly is not None:
            if capability.leaves:
                context.charge_now("calls", hourly)
            else:
                context.charge("calls", hourly)
        self._calls[capability.name] = made

    def _weigh(self, octets: int) -> None:
        self.host_bytes += octets
        if self.host_bytes > self._limits.host_bytes:
            raise Refused("host_bytes_exceeded", f"A call may exchange {self._limits.host_bytes} bytes with its host.")

    def _still_granted(self, capability: Capability) -> None:
        now = time.monotonic()
        if now - self._asked_at >= REVOCATION_EVERY:
            self._asked_at = now
            taken = {name for ask in registry.REVOCATIONS for name in ask(self._call)}
            self._revoked = self._revoked | taken
        if self._revoked and capability.declared and (capability.name in self._revoked or "*" in self._revoked):
            raise Refused("capability_denied", f"{capability.name} was taken from {self._call.plugin} meanwhile.")

    def _refuse(self, capability: str, operation: str, code: str, message: str) -> None:
        self.refused += 1
        if len(self.refusals) < MAX_REFUSALS:
            self.refusals.append(Refusal(capability=capability, op=operation, code=code, message=self._redact(message)))

    def _redact(self, text: str) -> str:
        for secret in self._redactions:
            text = text.replace(secret, "[redacted]")
        return text

    def _redacted(self, data: bytes) -> bytes:
        for secret in self._redactions:
            data = data.replace(secret.encode(), b"[redacted]")
        return data

    # -- the end of the call -------------------------------------------------------------------------------------

    def commit(self, record: Callable[[], None] | None = None) -> None:
        """Apply what the call wrote, in one transaction, and settle its counts.

        ``record`` is called in the same transaction and keeps the record of the call; when it raises, nothing stands.

        Raises:
            CommitError: nothing was applied.
        """
        if self._ended:
            return
        self._ended = True
        # By name: two calls that commit to the same stores take their locks in the same order.
        handlers = [handler for _, handler in sorted(self._handlers.items())]
        dirty = [handler for handler in handlers if handler.dirty]
        try:
            charges = self._charges()
            for handler in dirty:
                handler.prepare()
            self._redact_logs()
            if dirty or charges:
                with self._backend.transaction():
                    if charges:
                        self._backend.settle(self._call.plugin, charges, now_ms=self._call.now_ms)
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

    def _announce(self, handlers: list[Handler]) -> None:
        for handler in handlers:
            try:
                handler.after_commit()
            except Exception:
                # The writes stand; a bell that did not ring is made up for by the next sweep.
                logger.exception("commit not announced", extra={"call": self._call.id})

    def discard(self) -> None:
        """Forget what the call wrote; its reads stay counted. Never raises."""
        if self._ended:
            return
        self._ended = True
        try:
            charges = self._charges()
            if charges:
                with self._backend.transaction():
                    self._backend.settle(self._call.plugin, charges, now_ms=self._call.now_ms, strict=False)
        except Exception:
            # The call has failed already; a count that could not be kept must not hide why.
            logger.exception("counts of a discarded call not kept", extra={"call": self._call.id})
        finally:
            self._close(list(self._handlers.values()))
            self._redact_logs()

    def _charges(self) -> dict[str, tuple[int, int]]:
        return {
            meter: (amount, limit)
            for context in self._contexts.values()
            for meter, (amount, limit) in context.charges.items()
            if amount
        }

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


class _Failed(Exception):
    """A fault, with the operation it happened in."""

    def __init__(self, operation: str, fault: Fault) -> None:
        self.operation = operation
        self.fault = fault
        super().__init__(operation)


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
