"""Several web servers and Celery workers on one PostgreSQL and one Redis, each with a data directory of its own.

Run as a program it is a fourth kind of process, the desk: it prepares the database and saves pages when told to on its
standard input.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.server import ROOT, environment, eventually, free_port

SECOND = """
export default {
  hooks: { "content:afterSave": async (event, ctx) => ({ version: ctx.plugin.version }) },
  routes: { "GET /stats": async (request, ctx) => ({ json: { version: ctx.plugin.version } }) },
};
"""


class Cluster:
    """Web servers by number, workers by the name of their queue."""

    def __init__(self, folder: Path, *, database: str, broker: str) -> None:
        self.folder = folder
        self.variables = {
            "ZELAVIS_DATABASE_URL": database,
            "ZELAVIS_BROKER_URL": broker,
            "ZELAVIS_SECRET_KEY": "the same key in all processes, long enough",
            "ZELAVIS_ALLOWED_HOSTS": "127.0.0.1,localhost",
            "ZELAVIS_LOG_LEVEL": "WARNING",
        }
        self.processes: list[subprocess.Popen[Any]] = []
        self.desk = self._start("desk", "-m", "tests.zelavis.cluster", pipes=True)
        self.token = self.ask("prepare", str(folder / "releases"))["token"]

    def web(self, name: str) -> httpx.Client:
        """Start a web server; a client with a token of all scopes."""
        port = free_port()
        self._start(
            name,
            *("-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--blocking-threads", "4", "--log-level", "error", "--no-ws", "zelavis.wsgi:application"),
        )
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=60,
            trust_env=False,
        )

        def ready() -> bool:
            try:
                return client.get("/healthz").status_code == 200
            except httpx.TransportError:
                return False

        eventually(ready, seconds=60, what=f"the start of {name}")
        return client

    def worker(self, queue: str, *, pool: str) -> None:
        """Start a Celery worker that listens to this queue alone, so that a test decides which one is asked."""
        self._start(
            queue,
            *("-m", "celery", "-A", "zelavis", "worker", "-Q", queue, "--pool", pool, "--concurrency", "1"),
            *("-n", f"{queue}@cluster", "--without-gossip", "--without-mingle", "--loglevel", "ERROR"),
        )

    def deliver(self, queue: str, event: str) -> None:
        """Ring for one event at one worker."""
        self.ask("ring", queue, event)

    def ask(self, *words: str) -> Any:
        """Tell the desk to do something and wait until it is done."""
        assert self.desk.stdin is not None
        assert self.desk.stdout is not None
        self.desk.stdin.write(json.dumps(words) + "\n")
        self.desk.stdin.flush()
        return json.loads(self.desk.stdout.readline())

    def close(self) -> None:
        """End all processes."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _start(self, name: str, *arguments: str, pipes: bool = False) -> subprocess.Popen[Any]:
        data = self.folder / name
        (data / "static").mkdir(parents=True)
        # Kept beside the data: what a process said is wanted when a test fails.
        with (data / "stderr").open("w") as said:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=environment(data, **self.variables),
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stderr=said,
                text=True,
                start_new_session=True,
            )
        self.processes.append(process)
        return process


def _prepare(folder: str) -> dict[str, str]:
    from django.contrib.flatpages.models import FlatPage
    from django.contrib.sites.models import Site
    from django.core.management import call_command

    from tests.zelavis.releases import MODULE, approved
    from zelavis import tokens

    call_command("migrate", verbosity=0)
    page = FlatPage.objects.create(url="/about/", title="About", content="")
    page.sites.add(Site.objects.get_or_create(pk=1, defaults={"domain": "localhost", "name": "x"})[0])
    approved(Path(folder), version="1.0.0", module=MODULE)
    approved(Path(folder), version="1.1.0", module=SECOND)
    _, secret = tokens.create("cluster", ["*"])
    return {"token": secret}


def _looper(folder: str) -> dict[str, str]:
    from tests.zelavis.releases import looper

    looper(Path(folder))
    return {}


def _page(text: str, url: str = "/about/") -> dict[str, Any]:
    """Save or make a page as the admin would; the events that this recorded."""
    from django.contrib.flatpages.models import FlatPage

    from zelavis.models import HookEvent

    before = set(HookEvent.objects.values_list("pk", flat=True))
    page, made = FlatPage.objects.get_or_create(url=url)
    if not made:
        page.content = text
        page.save()
    return {"events": sorted(set(HookEvent.objects.values_list("pk", flat=True)) - before)}


def _ring(queue: str, event: str) -> None:
    from zelavis.celery import app

    app.send_task("zelavis.tasks.deliver_hook", args=[event], queue=queue, ignore_result=True)


def _main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
    import django

    django.setup()
    for line in sys.stdin:
        verb, *words = json.loads(line)
        work: dict[str, Callable[..., Any]] = {"prepare": _prepare, "looper": _looper, "page": _page, "ring": _ring}
        print(json.dumps(work[verb](*words)), flush=True)


if __name__ == "__main__":
    _main()
