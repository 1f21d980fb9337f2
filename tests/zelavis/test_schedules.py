"""Times as a source of hooks: those that a manifest declares and those that a plugin sets for itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from tests.zelavis.plugs import ScriptedAdapter, serve
from zelavis.activation.schedules import align, next_after
from zelavis.errors import InvalidRequest
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


@pytest.mark.parametrize(
    ("cron", "zone", "moment", "following"),
    [
        # The hour from two to three comes twice; this is in the second of them.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:10:00Z", "2026-10-25T00:30:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ("30 1 * * *", "America/New_York", "2026-11-01T06:29:20Z", "2026-11-02T06:30:00Z"),
        ("*/5 * * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T01:15:00Z"),
        # Half past two does not come at all that night.
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T00:50:00Z", "2026-03-29T01:00:00Z"),
    ],
)
def test_the_next_time_of_a_schedule_is_later_also_when_the_clocks_change(
    cron: str, zone: str, moment: str, following: str
) -> None:
    """In an hour that comes twice the next time is never one that is over, which would be due again and again."""
    at = datetime.fromisoformat(moment)
    assert next_after(cron, zone, at) == datetime.fromisoformat(following)


@pytest.mark.parametrize(
    ("cron", "zone"),
    [("* * * * *", "America"), ("* * * * *", "Nowhere/Land"), ("61 * * * *", "UTC"), ("0 0 30 2 *", "UTC")],
)
def test_a_schedule_that_has_no_next_time_is_refused_in_words(cron: str, zone: str) -> None:
    """A folder of zones, a zone that is none, a line that is none, a day that never comes."""
    with pytest.raises(InvalidRequest):
        next_after(cron, zone, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_plugin_that_comes_in_the_hour_that_comes_twice_is_not_called_without_end(scripted: ScriptedAdapter) -> None:
    """Half an hour of beats in the second of the two hours makes no event of a time that was in the first."""
    entry = serve("alpha", schedules=[{"name": "nightly", "cron": "30 2 * * *", "timezone": "Europe/Berlin"}])
    start = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
    assert entry.serving is not None
    align(entry, entry.serving, now=start)
    assert sum(schedules.tick(now=start + timedelta(minutes=minute)) for minute in range(30)) == 0


def test_a_time_that_a_plugin_set_for_itself_reaches_it_with_its_data(scripted: ScriptedAdapter) -> None:
    """ctx.schedule: one event for the plugin that set the time, and the row goes with it."""
    from sandbox.capabilities.models import PluginWake

    serve("alpha", capabilities={"schedule": {"reason": "r"}})
    at_ms = int(timezone.now().timestamp() * 1000) - 5
    PluginWake.objects.create(plugin="alpha", name="later", at_ms=at_ms, data='{"n": 1}')
    assert schedules.wake() == 1
    assert schedules.wake() == 0
    assert json.loads(HookEvent.objects.get().payload)["data"] == {"n": 1}
