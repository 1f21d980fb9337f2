"""``manage.py plugin_worker``: serve plugins to another Zelavis."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from zelavis import embedded, signing


class Command(BaseCommand):
    """Runs a plugin worker until it is stopped."""

    help = (
        "Serve plugins to another Zelavis over signed HTTP, in the sandbox, with a database of its own. "
        "Needs ZELAVIS_WORKER_SECRET; give the other Zelavis the same one with the worker's row."
    )

    # Checks read every URL and page of the server, none of which is served here.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen at.")
        parser.add_argument("--port", type=int, default=8700, help="Port to listen at.")
        parser.add_argument("--threads", type=int, default=8, help="Requests at work at once.")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        keys = settings.ENVIRONMENT.worker_secrets
        if len(settings.ENVIRONMENT.worker_secret) < 16 or any(len(key) < 16 for key in keys):
            raise CommandError("Set ZELAVIS_WORKER_SECRET to at least 16 characters: requests have to be signed.")
        try:
            named = ", ".join(signing.key_id(key) for key in keys)
        except ValueError:
            raise CommandError("ZELAVIS_WORKER_SECRET says whsec_ and is not base64.") from None
        problem = embedded.can_listen(host, port)
        if problem:
            raise CommandError(f"Cannot listen at {host}:{port}: {problem}.")
        try:
            held = embedded.lock_data_directory("worker.lock")
        except embedded.AlreadyRunning as error:
            raise CommandError(str(error)) from error
        # The lock goes over to the server that takes this process's place.
        os.set_inheritable(held.fileno(), True)  # noqa: FBT003  its only form
        call_command("migrate", verbosity=0)
        self.stdout.write(
            f"Plugin worker at http://{host}:{port}, data in {settings.DATA_DIR}, keys {named}. Ctrl-C stops it."
        )
        self.stdout.flush()
        command = [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", "--host", host, "--port", str(port)),
            *("--workers", "1", "--blocking-threads", str(options["threads"]), "--workers-kill-timeout", "2"),
            *("--log-level", "error", "--no-ws", "zelavis.worker.wsgi:application"),
        ]
        os.chdir(settings.BASE_DIR)
        os.environ["RUST_MIN_STACK"] = str(embedded.STACK_BYTES)
        # In this process's place: signals reach the server itself.
        os.execv(sys.executable, command)  # noqa: S606  our own interpreter and arguments
