"""``manage.py up``: web, worker and beat under one command and one Ctrl-C."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from zelavis import embedded, first_start


class Command(BaseCommand):
    """Start everything: the web server, a Celery worker and beat, on SQLite and the in-memory broker."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")
        parser.add_argument("--no-demo", action="store_true", help="do not add the example plugins and the sample page")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        if not settings.ENVIRONMENT.embedded:
            raise CommandError(
                "up is for SQLite and the in-memory broker. With ZELAVIS_DATABASE_URL or ZELAVIS_BROKER_URL set, "
                "start the web server, workers and beat apart: see docs/howto/run-in-production.md."
            )
        if not 0 < port < 65536:
            raise CommandError("--port takes a number from 1 to 65535.")
        self._refuse_taken_port(host, port)
        try:
            lock = embedded.lock_data_directory()
        except embedded.AlreadyRunning as error:
            raise CommandError(str(error)) from error
        stop = threading.Event()
        self._stop_on_signals(stop)
        with lock:
            self._prepare(demo=not options["no_demo"])
            user, password = first_start.ensure_administrator()
            token = first_start.demo_token()
            try:
                with embedded.web_server(host, port, stop=stop) as web, embedded.worker_and_beat():
                    if not web.wait_until_ready():
                        if stop.is_set():
                            return
                        raise CommandError("The web server did not start; its messages stand above.")
                    self._tell(f"http://{_shown_host(host)}:{port}", user, password, token)
                    web.wait(stop)
                    self.stdout.write("stopping …")
            finally:
                self.stdout.flush()
        if web.died:
            raise CommandError("The web server ended by itself; its messages stand above.")
        self.stdout.write("stopped")

    def _prepare(self, *, demo: bool) -> None:
        steps = [("database", first_start.migrate), ("site", first_start.prepare_site)]
        if demo:
            steps.append(("demo", first_start.seed_demo))
        for number, (name, step) in enumerate(steps, start=1):
            self.stdout.write(f"[{number}/{len(steps)}] {name} …", ending="")
            self.stdout.flush()
            self.stdout.write(f" {step()}")

    def _tell(self, url: str, user: str, password: str | None, token: str) -> None:
        login = f"{user} / {password}" if password else f"{user} (its password was printed at the first start)"
        self.stdout.write(
            f"\n  Zelavis   {url}/admin/\n  Login     {login}\n\n"
            f"  curl {url}/readyz\n"
            f"  curl -X POST {url}/api/runs -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' "
            f'-d \'{{"workflowId":"greet","input":{{"name":"Ada"}}}}\'\n'
            f"  curl {url}/api/plugins -H 'Authorization: Bearer {token}'\n\n"
            "ready (Ctrl-C stops)"
        )
        self.stdout.flush()

    @staticmethod
    def _refuse_taken_port(host: str, port: int) -> None:
        if embedded.can_listen(host, port) is None:
            return
        if reason := embedded.can_listen(host, 0):
            raise CommandError(f"Cannot listen on {host}: {reason}.")
        free = next(
            (other for other in range(port + 1, min(port + 50, 65536)) if not embedded.can_listen(host, other)), None
        )
        hint = f" Port {free} is free: --port {free}" if free else ""
        raise CommandError(f"Port {port} on {host} is taken.{hint}")

    @staticmethod
    def _stop_on_signals(stop: threading.Event) -> None:
        def ask(number: int, frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ask)


def _shown_host(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
