"""Times as a source of hooks: those that a manifest declares and those that a plugin sets for itself."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.zelavis.plugs import ScriptedAdapter, serve
from zelavis.hooks import events
from zelavis.hooks.sources import schedules
from zelavis.models import HookEvent, PluginEntry, Schedule

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_schedule_fires_once_for_its_time(scripted: ScriptedAdapter) -> None:
    """Two beats make one event; times missed while nothing ran are made up for once."""
    serve("alpha", schedules=[{"name": "often", "cron": "*/5 * * * *"}])
    serve("other", hooks=["cron"])
    now = timezone.now()
    Schedule.objects.create(
        entry=PluginEntry.objects.get(name="alpha"), name="often", cron="*/5 * * * *", next_at=now - timedelta(hours=3)
    )
    assert schedules.tick(now=now) == 1
    assert schedules.tick(now=now) == 0
    event = HookEvent.objects.get()
    assert json.loads(event.payload)["schedule"] == "often"
    events.deliver(event.pk, now=timezone.now())
    assert [(name, call.hook) for name, call in scripted.calls] == [("alpha", "cron")]
    assert Schedule.objects.get().next_at > now


def test_a_time_that_a_plugin_set_for_itself_reaches_it_with_its_data(scripted: ScriptedAdapter) -> None:
    """ctx.schedule: one event for the plugin that set the time, and the row goes with it."""
    from sandbox.capabilities.models import PluginWake

    serve("alpha", capabilities={"schedule": {"reason": "r"}})
    at_ms = int(timezone.now().timestamp() * 1000) - 5
    PluginWake.objects.create(plugin="alpha", name="later", at_ms=at_ms, data='{"n": 1}')
    assert schedules.wake() == 1
    assert schedules.wake() == 0
    assert json.loads(HookEvent.objects.get().payload)["data"] == {"n": 1}
