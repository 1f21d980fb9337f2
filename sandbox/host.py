"""Execute one call: a new store, the call, the outcome, and nothing is left.

What the plugin wrote through its capabilities is stored when the call ended ``ok`` and forgotten otherwise.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox import abi, engine, interrupts, ledger, runtime, stack, ticker
from sandbox.abi import Invocation, Stop
from sandbox.artifact import Artifact
from sandbox.call import Call
from sandbox.capabilities.session import Session
from sandbox.errors import CommitError, SandboxError
from sandbox.limits import Limits
from sandbox.outcome import GuestError, HostCall, Outcome, OutcomeStatus

if TYPE_CHECKING:
    from sandbox.capabilities.backends.protocol import Backend

#: How long to wait before a slot is asked for again.
_CLEANING_SECONDS = 0.0002
#: How long to wait for a slot before looking whether the call may still begin.
_PATIENCE = 0.25
logger = logging.getLogger("sandbox.host")


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A call that is over, for those who keep a record of their own (the tape)."""

    artifact: Artifact
    call: Call
    grants: Mapping[str, Mapping[str, Any]]
    limits: Limits
    outcome: Outcome
    #: Makes the transcript; most observers do not want it.
    crossed: Callable[[], Sequence[HostCall]] = field(repr=False, compare=False)

    @functools.cached_property
    def transcript(self) -> tuple[HostCall, ...]:
        """Its host calls, in order."""
        return tuple(self.crossed())


#: Told of every recorded call after its row is written; filled in ``AppConfig.ready``. What they raise is logged.
OBSERVERS: list[Callable[[Finished], None]] = []


class _Thread(threading.local):
    nesting = 0


_thread = _Thread()


def execute(
    artifact: Artifact,
    call: Call,
    *,
    grants: Mapping[str, Mapping[str, Any]],
    limits: Limits = Limits(),  # noqa: B008  a frozen value
    backend: Backend | None = None,
    record: bool = True,
) -> Outcome:
    """Run one call of a plugin and tell what came of it. Never raises for anything that a plugin does.

    ``grants`` are the consented capabilities of its manifest; ``backend`` is where they read and write (``None``: the
    database); ``record=False`` writes no ledger row and tells no observer.
    """
    # A process that has not run this plugin yet loads it first; that is not the plugin's time.
    ready = _ready(artifact, limits)
    started = time.perf_counter()
    deadline = time.monotonic() + limits.deadline_ms / 1000
    if backend is None:
        backend = _database()
    session = Session(call, grants, limits, deadline=deadline, backend=backend)
    run = Invocation(
        session.dispatch,
        ticks=ticker.ticks(limits.deadline_ms),
        memory_limit=min(limits.memory_bytes, engine.MAX_MEMORY_BYTES),
        table_limit=min(limits.table_elements, engine.MAX_TABLE_ELEMENTS),
        output_limit=limits.output_bytes,
        fuel=limits.fuel,
    )
    result, stop = None, None
    interrupts.enter(run, call, artifact, watched=record)
    try:
        result = abi.answer(_run(ready, call, limits, run, deadline), depth=limits.json_depth)
    except Stop as ended:
        stop = ended
    except Exception:
        # A bug of ours, or a process that is going down: the caller gets an outcome, the operator the traceback.
        logger.exception("call failed in the host", extra={"invocation": call.id, "plugin": call.plugin})
        stop = _host_error("The host failed during the call.", traceback.format_exc(limit=12))
    finally:
        interrupts.leave(run)
    if run.interrupted is not None and (stop is None or stop.status is not OutcomeStatus.CANCELLED):
        # However it ended: it should not have gone on to its end, and nothing of it may stand.
        stop = abi.interrupted(run.interrupted)
    if stop is None and isinstance(result, dict) and isinstance(result.get("reject"), dict) and call.hook != "route":
        message = result["reject"].get("message")
        stop = Stop(OutcomeStatus.REJECTED, "rejected", message if isinstance(message, str) else "")
    outcome: Outcome | None = None
    if stop is None and session.host_error is None:
        good = _outcome(session, run, result, None, (time.perf_counter() - started) * 1000)
        stop = _commit(session, (lambda: ledger.keep(artifact, call, good)) if record else None)
        outcome = good if stop is None else None
    if outcome is None:
        stop = _discard(session, stop)
        outcome = _outcome(session, run, result, stop, (time.perf_counter() - started) * 1000)
        if record:
            ledger.write(artifact, call, outcome)
    if record and OBSERVERS:
        _tell(Finished(
            artifact=artifact, call=call, grants=grants, limits=limits, outcome=outcome,
            crossed=lambda: session.transcript,
        ))  # fmt: skip
    return outcome


@functools.cache
def _database() -> Backend:
    # Imported late: Django's models are not there yet when this module is.
    from sandbox.capabilities.backends import database

    return database.default()


def _ready(artifact: Artifact, limits: Limits) -> tuple[runtime.Runtime, Any] | Stop:
    """This process's runtime and the loaded plugin, or why there is none."""
    try:
        here = runtime.runtime(fuel=limits.fuel is not None)
        here.guard()
        return here, here.program(artifact)
    except Stop as stop:
        return stop
    except SandboxError as error:
        return _host_error("The plugin is not ready on this host.", error.message, code=error.code)
    except Exception:
        # The engine refuses what the compiler made, the disk is full …: an outcome for the caller all the same.
        logger.exception("plugin not loaded", extra={"digest": artifact.digest})
        return _host_error("The plugin is not ready on this host.", traceback.format_exc(limit=12))


def _run(
    ready: tuple[runtime.Runtime, Any] | Stop, call: Call, limits: Limits, run: Invocation, deadline: float
) -> bytes:
    """Admission, the store and the call."""
    if isinstance(ready, Stop):
        raise ready
    here, program = ready
    try:
        payload = abi.envelope(call)
    except (TypeError, ValueError) as error:
        raise _host_error("The event cannot be given to the plugin.", str(error), code="input_invalid") from None
    if len(payload) > limits.input_bytes:
        message = f"The event has {len(payload)} bytes; {limits.input_bytes} are allowed."
        raise _host_error(message, "", code="input_too_large")
    if _thread.nesting >= abi.MAX_NESTING:
        raise Stop(OutcomeStatus.BUSY, "nested_too_deep", "A plugin's call may lead to one other call, not to more.")
    while not here.slots.acquire(timeout=min(_PATIENCE, max(0.0, deadline - time.monotonic()))):
        if run.interrupted is not None:
            raise abi.interrupted(run.interrupted)
        if time.monotonic() >= deadline:
            raise Stop(OutcomeStatus.BUSY, "busy", "No slot became free in time.")
    _thread.nesting += 1
    try:
        with here.ticker as late:
            run.ticks += late
            return _admitted(program, payload, run, deadline)
    finally:
        _thread.nesting -= 1
        here.slots.release()


def _admitted(program: Any, payload: bytes, run: Invocation, deadline: float) -> bytes:
    """Run on a slot of the pool.

    The engine may still be cleaning a slot that was given back: one thread's clean-up takes up what others queued, and
    they go on before it is done. So "no slot" here is over in microseconds, and nothing has run yet.
    """
    while True:
        try:
            if stack.enough():
                answer: bytes = program.run(payload, run)
                return answer
            return stack.run_on_helper(program, payload, run)
        except Stop as stop:
            if stop.status is not OutcomeStatus.BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(_CLEANING_SECONDS)


def _commit(session: Session, keep: Callable[[], None] | None) -> Stop | None:
    """Store the call's writes and its row together; the stop for when that cannot be."""
    try:
        session.commit(keep)
    except CommitError as error:
        if error.code == "commit_quota_exceeded":
            return Stop(OutcomeStatus.CAPABILITY_DENIED, error.code, error.message)
        return _host_error(error.message, session.host_error or "", code=error.code)
    return None


def _discard(session: Session, stop: Stop | None) -> Stop:
    """Forget the call's writes. What went wrong in the host comes before what the guest made of it."""
    session.discard()
    if session.host_error is not None and (stop is None or stop.status is not OutcomeStatus.HOST_ERROR):
        return _host_error("The host could not carry out a call of the plugin.", session.host_error)
    return stop or _host_error("The call ended and nothing says why.", "")


def _outcome(session: Session, run: Invocation, result: Any, stop: Stop | None, duration_ms: float) -> Outcome:
    status, error, detail = OutcomeStatus.OK, None, ""
    if stop is not None:
        status, error, detail = stop.status, stop.error, stop.detail
        if status is OutcomeStatus.TRAP and any(refusal.code == error.code for refusal in session.refusals):
            # The plugin let a refusal of its host pass.
            status = OutcomeStatus.DEADLINE if error.code == "deadline" else OutcomeStatus.CAPABILITY_DENIED
    return Outcome(
        status=status,
        result=result if status in (OutcomeStatus.OK, OutcomeStatus.REJECTED) else None,
        error=error,
        duration_ms=duration_ms,
        memory_bytes=run.memory_used,
        host_calls=session.host_calls,
        refusals=tuple(session.refusals),
        logs=tuple(session.logs),
        fuel=run.fuel_used,
        operator_detail=detail,
    )


def _host_error(message: str, detail: str, *, code: str = "host_error") -> Stop:
    stop = Stop(OutcomeStatus.HOST_ERROR, code, message, detail=detail)
    stop.error = GuestError(name="HostError", message=message, code=code)
    return stop


def _tell(finished: Finished) -> None:
    for observer in OBSERVERS:
        try:
            observer(finished)
        except Exception:
            # A record that could not be kept must not undo a call that has ended.
            logger.exception("observer failed", extra={"invocation": finished.call.id})
