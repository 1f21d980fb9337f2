"""The states of a run and of what it waits for, with the transitions that are allowed."""

from __future__ import annotations

#: A driver works on it, or one should: new work, a retry, or an injection that was just matched.
RUNNING = "running"
#: Parked: nothing happens until a waitpoint is resolved or its wake time comes.
WAITING = "waiting"
#: The body returned.
COMPLETED = "completed"
#: The body threw, the tenant refused, or a limit was reached; ``error`` says which.
FAILED = "failed"
#: Somebody ended it. A driver in flight finds its fence gone and writes nothing more.
CANCELLED = "cancelled"
#: The body threw and everything it had registered to undo was undone.
COMPENSATED = "compensated"
#: The body threw and undoing failed as well; somebody has to look.
COMPENSATION_FAILED = "compensation_failed"

ACTIVE = (RUNNING, WAITING)
TERMINAL = (COMPLETED, FAILED, CANCELLED, COMPENSATED, COMPENSATION_FAILED)
ALL = ACTIVE + TERMINAL

#: From each state, where a run may go. Terminal states have no way out.
TRANSITIONS: dict[str, frozenset[str]] = {
    RUNNING: frozenset(ALL),
    WAITING: frozenset({RUNNING, WAITING, CANCELLED, FAILED}),
    **{state: frozenset() for state in TERMINAL},
}

#: What a tenant may answer with HTTP 200.
RESPONSES = (WAITING, COMPLETED, FAILED, CANCELLED, COMPENSATED, COMPENSATION_FAILED)

# Kinds of waitpoints.
DATETIME = "DATETIME"
EVENT = "EVENT"
SIGNAL = "SIGNAL"
MANUAL = "MANUAL"
RUN = "RUN"
KINDS = (DATETIME, EVENT, SIGNAL, MANUAL, RUN)
#: The kinds that somebody outside resolves, with the member of ``meta`` that names what is waited for.
INJECTABLE = {EVENT: "eventType", SIGNAL: "signalName", MANUAL: "tokenId"}

# States of a waitpoint.
PENDING = "pending"
RESOLVED = "resolved"
#: The body no longer asks for it, or the run ended first.
DROPPED = "dropped"

# Dispositions of an injection.
MATCHED = "matched"
BUFFERED = "buffered"
DUPLICATE = "duplicate"
EXPIRED = "expired"
REFUSED = "refused"


def is_terminal(status: str) -> bool:
    """Whether a run in this state will never change again."""
    return status in TERMINAL
