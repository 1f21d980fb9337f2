"""``/healthz``: the process answers. ``/readyz``: it can do its work."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from zelavis import heartbeat, wakeups

#: A row due for longer than this is overdue: beat or the workers do not keep up, or are gone.
OVERDUE_SECONDS = 30


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Always 200 while the process lives; touches nothing else."""
    return JsonResponse({"ok": True, "service": "zelavis"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when this server can take requests, else 503; ``checks`` names each part: ``ok`` or what is wrong.

    A missing worker or beat is told but does not make a web server unready: what it accepts is kept for them.
    """
    checks = {"database": _database()}
    ok = checks["database"] == "ok"
    if ok:
        missing = heartbeat.missing()
        checks |= {name: "not seen for a minute" if name in missing else "ok" for name in heartbeat.EXPECTED}
        checks["wakeups"] = ", ".join(f"{name} overdue by {by:.0f} s" for name, by in overdue()) or "ok"
    return JsonResponse({"ok": ok, "service": "zelavis", "checks": checks}, status=200 if ok else 503)


def overdue() -> list[tuple[str, float]]:
    """The wake sources that wait for longer than they should, with by how many seconds."""
    found = ((source.name, source.seconds_until_next()) for source in wakeups.SOURCES)
    return [(name, -left) for name, left in found if left is not None and left < -OVERDUE_SECONDS]


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "unreachable"
    return "ok"
