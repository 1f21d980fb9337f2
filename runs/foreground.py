"""Driving a run for somebody who waits: an API request answers after a bounded time, whatever the tenant does.

The drive runs in a thread of its own, because a call to a tenant cannot be put down halfway: when the time is over
the request answers, and the thread finishes the invocation and hands the run to the workers.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from typing import Any

from django.db import close_old_connections, connection
from django.db.models import Q

from runs import commits, engine, leases, policy, states
from runs.errors import LostClaim
from runs.held import Held
from runs.models import Run
from zelavis import doorbell
from zelavis.logs import request_id

logger = logging.getLogger("runs.foreground")
#: Drives of requests at once in one process; more are left to the workers.
MAX_THREADS = 64
#: How often a request looks whether a run that is in other hands has parked or ended.
_LOOK_SECONDS = 0.02

_Job = tuple[Held, float, threading.Event, str, list[bool]]
_jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
_lock = threading.Lock()
_threads = 0
_idle = 0
_pid = 0


def drive(held: Held, *, seconds: float | None = None) -> None:
    """Drive a claimed run until it parks or ends, for at most ``seconds``; then let others go on."""
    limit = policy.current().request_seconds if seconds is None else seconds
    if connection.in_atomic_block:
        # Another thread would not see the run before the caller commits.
        engine.drive(held, seconds=limit)
        return
    ends = time.monotonic() + limit
    done = threading.Event()
    elsewhere: list[bool] = []
    if not _offer((held, limit, done, request_id.get(), elsewhere)):
        _hand_over(held)
        return
    done.wait(limit)
    # A worker was quicker to take up a child: its end lets this run go on, there or in another worker.
    while any(elsewhere) and time.monotonic() < ends and _moves(held.id):
        time.sleep(_LOOK_SECONDS)


def _moves(run_id: str) -> bool:
    """Whether somebody drives the run, or one of the children it waits for."""
    family = Run.objects.filter(Q(pk=run_id) | Q(parent_id=run_id))
    return family.filter(status=states.RUNNING).exists()


def _offer(job: _Job) -> bool:
    """Give the job to an idle thread or a new one; ``False`` when there are too many."""
    global _threads, _idle, _pid, _jobs
    with _lock:
        if _pid != os.getpid():
            # Threads do not survive a fork.
            _threads, _idle, _pid, _jobs = 0, 0, os.getpid(), queue.SimpleQueue()
        if _idle > 0:
            _idle -= 1
        elif _threads < MAX_THREADS:
            _threads += 1
            threading.Thread(target=_serve, args=(_jobs,), name=f"runs-drive-{_threads}", daemon=True).start()
        else:
            return False
        _jobs.put(job)
    return True


def _serve(jobs: queue.SimpleQueue[_Job]) -> None:
    global _idle
    while True:
        held, seconds, done, request, elsewhere = jobs.get()
        token = request_id.set(request)
        try:
            elsewhere.append(engine.drive(held, seconds=seconds))
        except Exception:
            # The run is found again when its lease ends; whoever asked gets the record as it stands.
            logger.exception("drive failed", extra={"run": held.id})
        finally:
            request_id.reset(token)
            done.set()
            _give_back_connection()
            with _lock:
                _idle += 1


def _give_back_connection() -> None:
    try:
        close_old_connections()
    except Exception:  # noqa: BLE001  a broken connection is replaced at the next use
        logger.info("connection not closed")


def _hand_over(held: Held) -> None:
    try:
        commits.give_back(held)
    except LostClaim:
        return
    finally:
        # Given back or not: nobody here drives it.
        leases.let_go(held)
    doorbell.ring("runs.tasks.drive", held.id)


def counts() -> dict[str, Any]:
    """Threads and how many of them are idle, for ``doctor`` and tests."""
    with _lock:
        return {"threads": _threads, "idle": _idle}
