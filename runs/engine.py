"""The drive: ask the tenant, commit its answer, go on until the run parks or ends.

``drive`` never raises for anything a tenant does. It stops without a trace when the run was taken away from it.
"""

from __future__ import annotations

import http.client
import logging
import random
import time

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection

from runs import clock, commits, leases, policy, states
from runs.dispatchers.base import TenantError
from runs.dispatchers.choose import choose
from runs.errors import LostClaim, NotCommitted, ProtocolError
from runs.held import Held
from runs.jsontext import ABSENT
from runs.protocol import StepResponse, runtime_error
from zelavis import doorbell
from zelavis.errors import ZelavisError

logger = logging.getLogger("runs.engine")


def drive(held: Held, *, seconds: float | None = None) -> bool:
    """Drive a claimed run, and the children it starts, for about ``seconds``; then give it back to the workers.

    Returns whether a child that it started is in other hands, so that the run may go on any moment.
    """
    give_up = time.monotonic() + (policy.current().slice_seconds if seconds is None else seconds)
    current: Held | None = held
    elsewhere = False
    try:
        while current is not None:
            goes_on, started = _invoke(current)
            if goes_on and time.monotonic() < give_up:
                continue
            if goes_on:
                commits.give_back(current)
                doorbell.ring("runs.tasks.drive", current.id)
                return elsewhere
            if not started:
                return elsewhere
            for child in started:
                elsewhere = not drive_due(child, seconds=give_up - time.monotonic()) or elsewhere
            current = leases.claim(current.id) if time.monotonic() < give_up else None
    except LostClaim:
        logger.info("run taken over or ended meanwhile", extra={"run": held.id, "fence": held.fence})
    except (OperationalError, InterfaceError) as error:
        _put_down(current or held, error)
        raise
    except NotCommitted as stopped:
        cause = stopped.__cause__
        assert cause is not None
        if isinstance(cause, OperationalError | InterfaceError):
            _put_down(current or held, cause)
        raise cause from None
    finally:
        # Whatever ended the drive: a claim that nobody drives must not be kept alive.
        leases.let_go(current or held)
    return elsewhere


def _put_down(held: Held, error: BaseException) -> None:
    """The database was away for a moment: let the run go at once, if it is back, and not only when the lease ends.

    It is no fault of the run, so the claim does not count as one that died.
    """
    logger.warning("the database did not answer a driver", extra={"run": held.id, "reason": str(error)})
    if connection.in_atomic_block:
        return
    try:
        # A connection that broke is not used again.
        connection.close()
        leases.put_down(held)
    except DatabaseError:
        logger.info("run left to the end of its lease", extra={"run": held.id})


def drive_due(run_id: str, *, seconds: float | None = None) -> bool:
    """Claim a run that is due and drive it; ``False`` when there was nothing to claim."""
    held = leases.claim(run_id)
    if held is None:
        return False
    drive(held, seconds=seconds)
    return True


def _invoke(held: Held) -> tuple[bool, list[str]]:
    """One invocation and its commit. Returns whether to go on at once, and the children started."""
    limit = _limit(held)
    if limit is not None:
        commits.finish(held, states.FAILED, error=limit)
        return False, []
    if held.unreadable:
        _refused(held, "", TenantError("unreadable", held.unreadable, status=500), 0)
        return False, []
    try:
        dispatcher = choose(held.workflow_id, held.tenant)
    except ZelavisError as error:
        # Its secret cannot be read: somebody has to set it again, and the run waits for that.
        _refused(held, "", TenantError(error.code, error.message, status=500), 0)
        return False, []
    if dispatcher is None:
        message = f'workflow "{held.workflow_id}" is not known here and no tenant is configured'
        commits.finish(held, states.FAILED, error=runtime_error("handler_error", message))
        return False, []
    began = time.perf_counter()
    try:
        response = dispatcher.dispatch(held)
    except TenantError as error:
        _refused(held, dispatcher.name, error, _ms(began))
        return False, []
    except ProtocolError as error:
        refusal = TenantError(error.code, error.message, status=200)
        _refused(held, dispatcher.name, refusal, _ms(began))
        return False, []
    except (DatabaseError, OSError, http.client.HTTPException):
        raise
    except Exception as error:
        # A fault of ours in a dispatcher: the run keeps its journal and is tried again like after a tenant's 500.
        logger.exception("dispatcher failed", extra={"run": held.id, "dispatcher": dispatcher.name})
        _refused(held, dispatcher.name, TenantError("executor_error", str(error), status=500), _ms(began))
        return False, []
    return _apply(held, response, _ms(began))


def _apply(held: Held, response: StepResponse, duration_ms: int) -> tuple[bool, list[str]]:
    if response.status != states.WAITING:
        commits.finish(
            held,
            response.status,
            output=response.output if response.status == states.COMPLETED else ABSENT,
            error=response.error,
            response=response,
            duration_ms=duration_ms,
        )
        return False, []
    problem = _waiting_problem(held, response)
    if problem is not None:
        commits.finish(held, states.FAILED, error=problem, response=response, duration_ms=duration_ms)
        return False, []
    started = commits.park(held, response.waits, response=response, duration_ms=duration_ms)
    return held.status == states.RUNNING and not held.paused, started


def _waiting_problem(held: Held, response: StepResponse) -> dict[str, object] | None:
    if not response.waits:
        return runtime_error("empty_waitpoint_list", "tenant returned status=waiting without any registered waitpoints")
    for wait in response.waits:
        if wait.key in held.resolved:
            return runtime_error("handler_error", f'tenant waits again for "{wait.key}", which was resolved before')
        new_child = wait.kind == states.RUN and wait.key not in held.pending
        if new_child and choose(wait.match_key, held.tenant) is None:
            return runtime_error("child_run_unresolvable", f'child workflow "{wait.match_key}" is not known here')
    return None


def _limit(held: Held) -> dict[str, object] | None:
    """Why the run must not be invoked again, if so."""
    rules = policy.current()
    if held.timeout_ms and held.compute_ms >= held.timeout_ms:
        return runtime_error(
            "WORKFLOW_TIMEOUT",
            f"workflow exceeded its {held.timeout_ms}ms compute-time budget ({held.compute_ms}ms used)",
        )
    if held.deadline is not None and clock.now_ms() >= held.deadline:
        return runtime_error("DEADLINE_EXCEEDED", f"the run's deadline {held.deadline} has passed")
    if held.claims > rules.max_claims:
        return runtime_error(
            "DRIVER_DIED", f"{held.claims - 1} drivers in a row died or stalled while they drove this run"
        )
    if held.invocations > rules.max_invocations:
        return runtime_error(
            "max_invocations_exceeded",
            f"orchestrator drove the run {rules.max_invocations} times without reaching a terminal or waiting state",
        )
    return None


def _refused(held: Held, dispatcher: str, error: TenantError, duration_ms: int) -> None:
    """No usable answer: try again later, or fail the run with the cause."""
    rules = policy.current()
    if error.permanent or held.attempts + 1 >= rules.max_attempts:
        code = error.code if error.code == "non_deterministic" else "handler_error"
        commits.finish(held, states.FAILED, error=runtime_error(code, error.message), duration_ms=duration_ms)
        return
    wait = min(rules.retry_cap_seconds, rules.retry_first_seconds * 2**held.attempts)
    # Jitter spreads the runs of a tenant that comes back; an asked-for wait is kept.
    wait = error.retry_after if error.retry_after is not None else wait * random.uniform(0.8, 1.0)  # noqa: S311
    at = clock.now_ms() + int(wait * 1000)
    reason = {
        "code": error.code,
        "status": error.status,
        "message": error.message,
        "dispatcher": dispatcher,
        "durationMs": duration_ms,
    }
    commits.retry(held, at=at, reason=reason, duration_ms=duration_ms)
    logger.warning(
        "tenant could not be asked", extra={"run": held.id, "attempt": held.attempts, "reason": error.message}
    )


def _ms(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)
