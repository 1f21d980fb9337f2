"""Run as a program on a database of its own: threads that overlap. Prints what came of it as JSON."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from sandbox.capabilities.backends.database import DatabaseBackend  # noqa: E402
from sandbox.errors import CommitError  # noqa: E402
from tests.sandbox.capabilities.harness import ask, code_of, make  # noqa: E402

backend = DatabaseBackend()
done: list[int] = []
HOURLY = {"kv": {"reason": "t", "callsPerHour": 33}}
MAIL = {"email:send": {"reason": "t", "callsPerHour": 1000, "perDomainPerHour": 17, "callsPerInvocation": 9}}


def record(number: int) -> None:
    for turn in range(4):
        session = make({"object": {"reason": "t"}}, backend=backend, id=f"inv_{number}_{turn}", seconds=30)
        value = ask(session, "object", "get", "n") or 0
        time.sleep(0.001)
        ask(session, "object", "put", "n", value + 1)
        session.commit()


def hourly(number: int) -> None:
    for turn in range(10):
        session = make(HOURLY, backend=backend, id=f"inv_{number}_{turn}", plugin="hourly")
        if code_of(session, "kv", "increment", "n"):
            session.discard()
            continue
        try:
            session.commit()
            done.append(turn)
        except CommitError:
            pass


def mail(number: int) -> None:
    session = make(MAIL, backend=backend, id=f"inv_{number}", plugin="mail")
    message = {"to": "a@example.com", "subject": "s", "text": "t"}
    done.extend(1 for _ in range(5) if not code_of(session, "email_send", "send", message))
    session.discard()


def together(work: Callable[[int], None]) -> None:
    def run(number: int) -> None:
        try:
            work(number)
        finally:
            connection.close()

    done.clear()
    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


call_command("migrate", verbosity=0, skip_checks=True)
together(record)
told = {"records": ask(make({"object": {"reason": "t"}}, backend=backend), "object", "get", "n")}
together(hourly)
told["hourly"] = len(done)
told["counted"] = ask(make(backend=backend, plugin="hourly"), "kv", "get", "n")
together(mail)
told["mail"] = len(done)
print(json.dumps(told))
