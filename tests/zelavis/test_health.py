"""Health and the doctor."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from zelavis import heartbeat, wakeups

pytestmark = pytest.mark.django_db


def test_healthz_needs_nothing(client: Client) -> None:
    """The process's own health does not depend on any other part."""
    assert client.get("/healthz").json() == {"ok": True, "service": "zelavis"}


def test_readyz_tells_of_each_part(client: Client) -> None:
    """Parts that were not seen for a minute are named; those seen are ok."""
    heartbeat.record("beat")
    heartbeat.record("worker", now=timezone.now() - timedelta(minutes=2))
    checks = client.get("/readyz").json()["checks"]
    assert checks["database"] == checks["beat"] == "ok"
    assert checks["worker"] == "not seen for a minute"


def test_only_reading_is_allowed(client: Client) -> None:
    """Health cannot be posted to."""
    assert client.post("/healthz").status_code == 405


def test_what_is_overdue_is_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake source that waits for longer than half a minute is named by readiness and by the doctor."""
    late = wakeups.WakeSource(name="sleepers", task="t", seconds_until_next=lambda: -45.0)
    monkeypatch.setattr(wakeups, "SOURCES", [late])
    assert client.get("/readyz").json()["checks"]["wakeups"] == "sleepers overdue by 45 s"
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json", stdout=out)
    assert ended.value.code == 1
    assert {"level": "problem", "topic": "sleepers", "text": "overdue by 45 s"} in json.loads(out.getvalue())


def test_the_doctor_says_what_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor names the mode, the data directory and the parts, and shows no secret."""
    from django.conf import settings

    monkeypatch.setattr(wakeups, "SOURCES", [])
    out = StringIO()
    call_command("doctor", stdout=out)
    assert "mode: " in out.getvalue()
    assert "notice   beat: not seen for a minute" in out.getvalue()
    assert settings.SECRET_KEY not in out.getvalue()
