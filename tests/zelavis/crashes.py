"""Kill a process before each of its commits in turn, let another one go on, and tell what came of it.

Run as a program on a data directory: it prepares the database, then forks a child for every place. A commit is the end
of a transaction or a statement that writes outside of one; what happens between two of them (a compilation, a call of a
plugin) is undone or not seen by whoever comes after, so these are all the places there are. A request to a worker is
seen by others: before it and after its answer are places too. With the URL of a PostgreSQL server as second argument
the databases are there, else they are SQLite files; with ``worker`` as third the plugin is served by one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

#: Verb → what serves before it.
VERBS = {"install": "", "update": "1.0.0", "rollback": "1.1.0", "uninstall": "1.0.0"}
KEY = "the worker's key in these tests"
_WRITES = ("INSERT", "UPDATE", "DELETE")


def _install() -> None:
    from zelavis import activation
    from zelavis.models import DispatchWorker

    worker = DispatchWorker.objects.first()
    activation.install(
        "counter", actor="user:a", implied=True, version="1.0.0", worker=worker, adapter="dispatch" if worker else None
    )


def _do(verb: str) -> None:
    from zelavis import activation

    if verb == "install":
        _install()
    elif verb == "uninstall":
        activation.uninstall("counter", actor="user:a", purge=True)
    else:
        getattr(activation, verb)("counter", actor="user:a")


@contextmanager
def counted(at: int) -> Iterator[list[str]]:
    """Die before commit number ``at`` (from 1); 0: only count."""
    from django.db import connection

    from zelavis.adapters import dispatch

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
    real, real_send = connection._commit, dispatch.send  # type: ignore[attr-defined]

    def commit() -> Any:
        commits("commit")
        return real()

    def send(*arguments: Any, **more: Any) -> Any:
        commits("send")
        reply = real_send(*arguments, **more)
        commits("sent")
        return reply

    connection._commit = commit  # type: ignore[attr-defined]
    dispatch.send = send
    try:
        with connection.execute_wrapper(statement):
            yield seen
    finally:
        connection._commit = real  # type: ignore[attr-defined]
        dispatch.send = real_send


class _Worker(BaseHTTPRequestHandler):
    """Says that everything is active, and remembers what it was asked under which id."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_POST(self) -> None:
        from zelavis import signing

        document = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.headers["webhook-id"], document["action"]))
        body = b'{"status":"active"}'
        self.send_response(200)
        headers = signing.sign(body, key=KEY, message_id=self.headers["webhook-id"])
        for name, value in {**headers, "content-type": "application/json", "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


def _fork(database: str, work: Callable[[], Any]) -> tuple[int, Any]:
    """Run ``work`` in a child on this database; its signal (0: none) and what it gave."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        from django.db import connections

        connections.close_all()
        connections["default"].settings_dict["NAME"] = database
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


def _prepare(folder: str, upto: str, port: int) -> None:
    from django.core.management import call_command

    from tests.zelavis.releases import MODULE, approved
    from zelavis import activation, encryption
    from zelavis.models import DispatchNamespace, DispatchWorker

    call_command("migrate", verbosity=0)
    if port:
        DispatchWorker.objects.create(
            namespace=DispatchNamespace.objects.create(name="crashes"), name="counter",
            base_url=f"http://127.0.0.1:{port}", secret=encryption.seal(KEY),
        )  # fmt: skip
    approved(Path(folder), version="1.0.0", module=MODULE)
    approved(Path(folder), version="1.1.0", module=MODULE + "\n// second\n")
    if upto:
        _install()
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
        "ids": list(Activation.objects.values_list("pk", flat=True)),
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


class _Files:
    """Databases as SQLite files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, name: str) -> str:
        return str(self.folder / f"{name}.sqlite3")

    def copy(self, name: str, to: str) -> str:
        for suffix in ("", "-wal", "-shm"):
            if Path(f"{self.make(name)}{suffix}").exists():
                shutil.copyfile(f"{self.make(name)}{suffix}", f"{self.make(to)}{suffix}")
        return self.make(to)


class _Server:
    """Databases of a PostgreSQL server, copied as templates."""

    def __init__(self, url: str) -> None:
        self.url = url

    def make(self, name: str) -> str:
        return self._run(f"crash_{name}", "")

    def copy(self, name: str, to: str) -> str:
        return self._run(f"crash_{to}", f'TEMPLATE "crash_{name}" STRATEGY file_copy')

    def _run(self, name: str, how: str) -> str:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            # Of another run of this program on the same server.
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}" {how}')
        return name


def _main(folder: Path, url: str, worker: bool) -> None:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
    django.setup()
    port = 0
    if worker:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Worker)
        port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
    databases = _Server(url) if url else _Files(folder)
    for verb, before in VERBS.items():
        base = databases.make(verb)
        _, told = _fork(base, lambda verb=verb, before=before: _prepare(str(folder / f"{verb}-releases"), before, port))  # type: ignore[misc]
        assert told is None, told

        def dry(verb: str = verb) -> list[str]:
            with counted(0) as seen:
                _do(verb)
            return seen

        _, places = _fork(databases.copy(verb, f"{verb}-0"), dry)
        assert isinstance(places, list), places
        for place in range(1, len(places) + 1):
            trial = databases.copy(verb, f"{verb}-{place}")
            _Worker.asked.clear()

            def die(place: int = place, verb: str = verb) -> None:
                with counted(place):
                    _do(verb)

            signalled, told = _fork(trial, die)
            before_death = list(_Worker.asked)
            _, state = _fork(trial, _state)
            line = {"verb": verb, "place": place, "of": len(places), "what": places[place - 1], "signal": signalled}
            asked = {"before": before_death, "all": list(_Worker.asked)}
            print(json.dumps({**line, "told": told, "state": state, "asked": asked}), flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "worker")
