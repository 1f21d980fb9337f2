"""Kill a driver at its n-th commit or send, for every n; then let another finish. Prints one JSON line per case.

    python -m tests.chaos.crash_points FIRST LAST STRIDE        (ZELAVIS_DATABASE_URL or ZELAVIS_DATA_DIR)

``CASE_KIND=http``: the steps are a tenant's over HTTP, at ``ZELAVIS_RUNS_TENANT_URL``, which writes ``CHAOS_LOG``.

Each case is a run of its own in forked processes of this one: the first dies by ``os._exit`` at the point, the second
works like any worker until the run has ended. Effects are counted in a file that the journal knows nothing of.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

LEASE_SECONDS = 0.2
KILLED = 137


def set_up() -> None:
    """Django, the tables, and the workflow; no connection is open afterwards."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
    os.environ["ZELAVIS_LOG_LEVEL"] = "ERROR"
    os.environ["ZELAVIS_RUNS_LEASE_SECONDS"] = str(LEASE_SECONDS)
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", verbosity=0)
    register()
    connections.close_all()


def register() -> None:
    """A body of twelve commits and more: steps, a sleep, an event, a child, a compensation that is not needed."""
    from runs.authoring import Context, workflow

    def ran(context: Context, what: str) -> str:
        with Path(os.environ["CASE_LOG"]).open("a", encoding="utf-8") as file:
            file.write(what + "\n")
        return what

    @workflow("chaos-child")
    def child(context: Context, given: Any) -> Any:
        return context.step("child", lambda: ran(context, "child"))

    @workflow("chaos-twelve")
    def twelve(context: Context, given: Any) -> Any:
        for number in range(1, 5):
            context.step(f"step-{number}", lambda number=number: ran(context, f"step-{number}"), compensate=print)
        context.sleep(0.01)
        got = context.wait_for_event("go")
        for number in range(5, 8):
            context.step(f"step-{number}", lambda number=number: ran(context, f"step-{number}"))
        return [got, context.invoke("chaos-child")]


def first(run_id: str, at: int) -> None:
    """Trigger, send the event early, and drive; die at the point."""
    from runs import alarms, engine, sql

    reached = 0

    def hook(name: str) -> None:
        nonlocal reached
        reached += 1
        if reached == at:
            os._exit(KILLED)

    sql.on_crash_point(hook)
    triggered = ask(run_id, claim=True)
    if triggered.held is not None:
        engine.drive(triggered.held)
    finish(run_id, alarms.work)


def ask(run_id: str, *, claim: bool = False) -> Any:
    """What the client does: trigger the run, and send its event early. Both may be repeated."""
    from runs import inbox, lifecycle

    if os.environ.get("CASE_KIND") == "http":
        return lifecycle.trigger("http-steps", run_id=run_id, input={"steps": 4, "parks": True}, claim=claim)
    triggered = lifecycle.trigger("chaos-twelve", run_id=run_id, claim=claim)
    inbox.inject(run_id, "EVENT", "go", payload=run_id, buffer=True, dedupe="once")
    return triggered


def second(run_id: str) -> None:
    """What clients and workers do after the crash: repeat what was not answered, and drive what is due."""
    from runs import alarms

    ask(run_id)
    finish(run_id, alarms.work)


def finish(run_id: str, work: Callable[[], int]) -> None:
    """Work until the run has ended."""
    from runs.models import Run

    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        work()
        if Run.objects.filter(pk=run_id, completed_at__isnull=False).exists():
            return
        time.sleep(0.01)
    raise AssertionError("not finished")


def forked(work: Callable[..., None], *arguments: Any) -> int:
    """The exit code of a process that does this."""
    pid = os.fork()
    if pid == 0:
        try:
            work(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def report(run_id: str) -> None:
    """The case, as one line."""
    from runs import inbox, records
    from runs.models import JournalEntry, Run
    from tests.chaos.checks import effects

    record = records.load(run_id)
    entries = list(JournalEntry.objects.filter(run_id=run_id).order_by("seq").values_list("seq", "kind", "key"))
    if os.environ.get("CASE_KIND") == "http":
        ran = Counter(line["step"] for line in effects(Path(os.environ["CHAOS_LOG"]))[run_id])
    else:
        ran = Counter(Path(os.environ["CASE_LOG"]).read_text(encoding="utf-8").split())
    line = {
        "status": record["status"],
        "output": record.get("output"),
        "steps": list(record["journal"]["stepResults"]),
        "gaps": [seq for seq, _, _ in entries] != list(range(1, len(entries) + 1)),
        "ran": ran,
        "children": Run.objects.filter(parent_id=run_id).count(),
        "receipts": [item["disposition"] for item in inbox.receipts(run_id)],
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    set_up()
    start, last, stride = map(int, sys.argv[1:4])
    folder = Path(os.environ["CASE_FOLDER"])
    for at in range(start, last + 1, stride):
        run_id = f"case-{at}"
        os.environ["CASE_LOG"] = str(folder / run_id)
        Path(os.environ["CASE_LOG"]).touch()
        died = forked(first, run_id, at)
        began = time.monotonic()
        code = forked(second, run_id)
        print(
            json.dumps({"at": at, "died": died == KILLED, "code": code, "seconds": time.monotonic() - began}),
            flush=True,
        )
        assert forked(report, run_id) == 0
        if died == 0:
            # The first got to the end: there are no more points.
            return


if __name__ == "__main__":
    main()
