"""Four processes that trigger, send and drive on one SQLite file at once; prints what was promised, one run a line.

python -m tests.chaos.sqlite_workers RUNS            (ZELAVIS_DATA_DIR, CHAOS_LOG)
"""

from __future__ import annotations

import json
import os
import sys
import time

from tests.chaos.crash_points import forked

PROCESSES = 4


def work(first: int, runs: int) -> None:
    """Start some of the runs, send each its event, and drive whatever is due until all have ended."""
    from runs import alarms, inbox, lifecycle
    from runs.models import Run

    mine = [f"sqlite-{number}" for number in range(first, runs, PROCESSES)]
    for run_id in mine:
        lifecycle.trigger("chaos-load", run_id=run_id, input=given(run_id))
        inbox.inject(run_id, "EVENT", "go", payload=run_id, buffer=True, dedupe="once")
        alarms.work(seconds=0.05)
    give_up = time.monotonic() + 60
    while Run.objects.filter(completed_at__isnull=True).exists():
        assert time.monotonic() < give_up, "not finished"
        alarms.work()
        time.sleep(0.005)


def given(run_id: str) -> dict[str, object]:
    """The input of a run."""
    return {"steps": 3, "seconds": 0.002, "events": 1, "sleep": 0.02, "child": run_id.endswith(("0", "5"))}


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.chaos.settings"
    os.environ["ZELAVIS_LOG_LEVEL"] = "ERROR"
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", verbosity=0)
    connections.close_all()
    runs = int(sys.argv[1])
    parents = []
    for first in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            os._exit(forked(work, first, runs))
        parents.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in parents]
    assert codes == [0] * PROCESSES, codes
    for number in range(runs):
        run_id = f"sqlite-{number}"
        print(json.dumps({"run": run_id, "given": given(run_id)}), flush=True)


if __name__ == "__main__":
    main()
