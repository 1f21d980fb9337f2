"""Kill a process before each of its commits in turn, let another one go on, and tell what came of it.

Run as a program on a data directory: it prepares the database, then forks a child for every place. A commit is the end
of a transaction or a statement that writes outside of one; what happens between two of them (a compilation, a call of a
plugin) is undone or not seen by whoever comes after, so these are all the places there are.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

#: Verb → what serves before it.
VERBS = {"install": "", "update": "1.0.0", "rollback": "1.1.0", "uninstall": "1.0.0"}
_WRITES = ("INSERT", "UPDATE", "DELETE")


def _do(verb: str) -> None:
    from zelavis import activation

    if verb == "install":
        activation.install("counter", actor="user:a", implied=True, version="1.0.0")
    elif verb == "uninstall":
        activation.uninstall("counter", actor="user:a", purge=True)
    else:
        getattr(activation, verb)("counter", actor="user:a")


@contextmanager
def counted(at: int) -> Iterator[list[str]]:
    """Die before commit number ``at`` (from 1); 0: only count."""
    from django.db import connection

    seen: list[str] = []

    def commits(what: str) -> None:
        seen.append(what)
        if len(seen) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().upper().startswith(_WRITES) and not connection.in_atomic_block:
            commits(sql[:40])
        return execute(sql, params, many, context)

    connection.ensure_connection()
    real = connection._commit  # type: ignore[attr-defined]

    def commit() -> Any:
        commits("commit")
        return real()

    connection._commit = commit  # type: ignore[attr-defined]
    try:
        with connection.execute_wrapper(statement):
            yield seen
    finally:
        connection._commit = real  # type: ignore[attr-defined]


def _fork(database: Path, work: Callable[[], Any]) -> tuple[int, Any]:
    """Run ``work`` in a child on this database; its signal (0: none) and what it gave."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        from django.db import connections

        connections.close_all()
        connections["default"].settings_dict["NAME"] = str(database)
        told: Any = None
        try:
            told = work()
        except BaseException as error:
            told = {"error": repr(error)}
        os.write(writer, json.dumps(told).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        raw = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, json.loads(raw) if raw else None


def _prepare(folder: str, upto: str) -> None:
    from django.core.management import call_command

    from tests.zelavis.releases import MODULE, approved
    from zelavis import activation

    call_command("migrate", verbosity=0)
    approved(Path(folder), version="1.0.0", module=MODULE)
    approved(Path(folder), version="1.1.0", module=MODULE + "\n// second\n")
    if upto:
        activation.install("counter", actor="user:a", implied=True, version="1.0.0")
    if upto == "1.1.0":
        activation.update("counter", actor="user:a")


def _state() -> dict[str, Any]:
    """What stands after another process went on."""
    from django.utils import timezone

    from sandbox.models import Invocation, PluginValue
    from zelavis import activation, registry
    from zelavis.models import Activation, PluginEntry

    known = Activation.objects.count()
    early = activation.sweep()
    for minute in range(1, 4):
        activation.sweep(now=timezone.now() + timedelta(minutes=2 * minute))
    entry = PluginEntry.objects.select_related("serving").first()
    active = registry.active_entry("counter")
    newest = Activation.objects.order_by("-created_at", "-id").first()
    hooks = list(Invocation.objects.filter(hook__startswith="plugin:").values_list("hook", "version", "correlation"))
    return {
        "attempts": known,
        "early": early,
        "unfinished": Activation.objects.filter(finished_at=None).count(),
        "serves": active.version if active else "",
        "states": [entry.status, entry.deployment_state, entry.activation_state] if entry else [],
        "newest": [newest.action, newest.state] if newest else [],
        "twice": sorted(
            {f"{hook} {version}" for hook, version, about in hooks if hooks.count((hook, version, about)) > 1}
        ),
        "kv": dict(PluginValue.objects.values_list("key", "value")),
        "activates": sum(1 for hook, _, _ in hooks if hook == "plugin:activate"),
    }


def _main(folder: Path) -> None:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
    django.setup()
    for verb, before in VERBS.items():
        base = folder / f"{verb}.sqlite3"
        _, told = _fork(base, lambda verb=verb, before=before: _prepare(str(folder / f"{verb}-releases"), before))  # type: ignore[misc]
        assert told is None, told

        def dry(verb: str = verb) -> list[str]:
            with counted(0) as seen:
                _do(verb)
            return seen

        trial = folder / f"{verb}-0.sqlite3"
        _copy(base, trial)
        _, places = _fork(trial, dry)
        assert isinstance(places, list), places
        for place in range(1, len(places) + 1):
            trial = folder / f"{verb}-{place}.sqlite3"
            _copy(base, trial)

            def die(place: int = place, verb: str = verb) -> None:
                with counted(place):
                    _do(verb)

            signalled, told = _fork(trial, die)
            _, state = _fork(trial, _state)
            line = {"verb": verb, "place": place, "of": len(places), "what": places[place - 1], "signal": signalled}
            print(json.dumps({**line, "told": told, "state": state}), flush=True)


def _copy(base: Path, to: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        if Path(f"{base}{suffix}").exists():
            shutil.copyfile(f"{base}{suffix}", f"{to}{suffix}")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
