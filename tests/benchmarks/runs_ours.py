"""Our rows of ``runs``: a process with Django set up, a workflow of five steps, triggered and driven in this process.

    python -m tests.benchmarks.runs_ours step|invocation RUNS IN_FLIGHT      (ZELAVIS_DATABASE_URL, ZELAVIS_DATA_DIR)

``step`` commits every step at once; ``invocation`` commits the steps of one pass together.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.benchmarks.harness import emit
from tests.benchmarks.peers import inflight


def set_up() -> None:
    """Django on the database that the environment names, with its tables, quiet."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
    os.environ.setdefault("ZELAVIS_LOG_LEVEL", "ERROR")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def workflows() -> None:
    """Register the workflows of the benchmarks."""
    from runs.authoring import Context, workflow

    def five(context: Context, given: Any) -> Any:
        return sum(context.step(f"step-{number}", lambda number=number: number) for number in range(5))

    def five_together(context: Context, given: Any) -> Any:
        return five(context, given)

    workflow("bench-step", durability="step")(five)
    workflow("bench-invocation", durability="invocation")(five_together)
    workflow("bench-nothing")(lambda context, given: None)


def runner(name: str) -> Callable[[], None]:
    """What does one run from its trigger to its end."""
    from runs import engine, lifecycle

    def one() -> None:
        triggered = lifecycle.trigger(name, input={"n": 5}, claim=True)
        held = triggered.held
        assert held is not None
        engine.drive(held)
        assert held.status == "completed", held.status

    return one


@contextmanager
def traced() -> Iterator[list[str]]:
    """Every statement that this connection sends, transaction control included on SQLite."""
    from django.db import connection

    connection.ensure_connection()
    seen: list[str] = []
    if connection.vendor == "sqlite":
        connection.connection.set_trace_callback(seen.append)
        yield seen
        connection.connection.set_trace_callback(None)
    else:

        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            seen.append(sql)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(note):
            yield seen


def counted(one: Callable[[], None]) -> str:
    """Statements and commits of a run."""
    from django.conf import settings
    from django.db import connection

    rounds = 20
    if connection.vendor == "postgresql":
        from tests.benchmarks.peers import pgcounts

        database: Any = settings.ENVIRONMENT.database
        url = f"postgresql://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
        with pgcounts.Counting(url, runs=rounds) as counts:
            for _ in range(rounds):
                one()
        return f"{counts.statements:.1f} statements, {counts.commits:.1f} write commits a run"
    with traced() as seen:
        for _ in range(rounds):
            one()
    control = [
        statement for statement in seen if statement.split()[0].upper() in ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    ]
    commits = sum(statement.upper().startswith("COMMIT") for statement in control)
    return f"{(len(seen) - len(control)) / rounds:.1f} statements, {commits / rounds:.1f} write commits a run"


def main() -> None:
    kind, count, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    set_up()
    workflows()
    name = f"bench-{kind}"
    told = "each step committed" if kind == "step" else "steps committed together"
    row = inflight.row(f"Zelavis, {told}", lambda: runner(name), threads=threads, count=count)
    if threads == 1:
        row.note = counted(runner(name))
    emit(row)
    if os.environ.get("BENCH_STATEMENTS"):
        with traced() as seen:
            runner(name)()
        print("\n".join(seen))


if __name__ == "__main__":
    main()
