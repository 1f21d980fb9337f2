"""A hundred calls of a plugin that loops, and a quarantine. Run as a program on an empty data directory; tells in JSON
how many waited, what a new event met, and how each call ended."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

CALLS = 100
PAGE = {"collection": "flatpages.flatpage", "id": "1", "created": False, "content": {"id": "1", "title": "About"}}


def _main(folder: Path) -> None:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from marketplace import actors, curation
    from sandbox import interrupts
    from sandbox.models import Invocation
    from tests.server import eventually
    from tests.zelavis.releases import looper
    from zelavis import activation, hooks

    call_command("migrate", verbosity=0)
    release = looper(folder)
    activation.install("looper", actor="user:a", implied=True)
    ends: list[tuple[float, str]] = []

    def ask() -> None:
        [outcome] = hooks.fire("content:afterSave", PAGE).outcomes
        ends.append((time.monotonic(), outcome.status))

    threads = [threading.Thread(target=ask) for _ in range(CALLS)]
    for thread in threads:
        thread.start()
    # Those that wait for a slot of the sandbox are in flight too.
    eventually(lambda: len(interrupts._entries) == CALLS, seconds=8, what="a hundred calls")
    before = len(ends)
    eve = actors.Actor(name="user:eve", user=User.objects.get(username="eve"))
    curation.act(release, "quarantine", actor=eve, reason="It loops.", digest=release.digest)
    killed = time.monotonic()
    new = len(hooks.fire("content:afterSave", PAGE).outcomes)
    refused = time.monotonic()
    for thread in threads:
        thread.join()
    print(
        json.dumps(
            {
                "before": before,
                "new": new,
                "refused": refused - killed,
                "statuses": [status for _, status in ends],
                "ended": [moment - killed for moment, _ in ends],
                "rows": Invocation.objects.filter(hook="content:afterSave", status="cancelled").count(),
            }
        )
    )


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
