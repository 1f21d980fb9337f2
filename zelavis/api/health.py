"""``/healthz``: the process answers. ``/readyz``: it can do its work."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Always 200 while the process lives; touches nothing else."""
    return JsonResponse({"ok": True, "service": "zelavis"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when every part is well, else 503; ``checks`` names each part: ``ok`` or what is wrong."""
    checks = {"database": _database()}
    ok = all(state == "ok" for state in checks.values())
    return JsonResponse({"ok": ok, "service": "zelavis", "checks": checks}, status=200 if ok else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "unreachable"
    return "ok"
