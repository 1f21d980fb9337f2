"""A hundred calls of a plugin that loops, and a quarantine. Run as a program on an empty data directory; tells in JSON
how many looped, what a new event met, and how each call ended."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

CALLS = 100
#: The hook whose listeners may take longest, so that a hundred of them have the time to begin on any machine.
HOOK, EVENT = "cron", {"schedule": "nightly", "cron": "0 3 * * *", "scheduledAt": "2026-01-01T03:00:00Z"}
_LONGEST_MS = 30_000


def _main(folder: Path, looping: int) -> None:
    """``looping``: so many of them run guest code when the quarantine comes; the others wait for a slot."""
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
    release = looper(folder, deadline_ms=_LONGEST_MS)
    activation.install("looper", actor="user:a", implied=True)
    ends: list[tuple[float, str]] = []

    def ask() -> None:
        [outcome] = hooks.fire(HOOK, EVENT).outcomes
        ends.append((time.monotonic(), outcome.status))

    threads = [threading.Thread(target=ask) for _ in range(CALLS)]
    for thread in threads:
        thread.start()
    # Those that wait for a slot of the sandbox are in flight too. What had its first slice of a tenth of a second runs.
    eventually(
        lambda: (len(interrupts._entries), len(interrupts._long)) == (CALLS, looping),
        seconds=25,
        what="a hundred calls",
    )
    before, looped = len(ends), len(interrupts._long)
    eve = actors.Actor(name="user:eve", user=User.objects.get(username="eve"))
    curation.act(release, "quarantine", actor=eve, reason="It loops.", digest=release.digest)
    killed = time.monotonic()
    new = len(hooks.fire(HOOK, EVENT).outcomes)
    refused = time.monotonic()
    for thread in threads:
        thread.join()
    print(
        json.dumps(
            {
                "before": before,
                "looped": looped,
                "new": new,
                "refused": refused - killed,
                "statuses": [status for _, status in ends],
                "ended": [moment - killed for moment, _ in ends],
                "rows": Invocation.objects.filter(hook=HOOK, status="cancelled").count(),
            }
        )
    )


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
