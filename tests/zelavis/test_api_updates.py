"""``/api/updates``: what is in stages and what waits, and the verbs that end each wait."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from marketplace.models import Plugin, UpdatePolicy
from tests.zelavis.plugs import serve
from tests.zelavis.releases import approved
from zelavis import registry
from zelavis.activation import automatic
from zelavis.models import PluginEntry

pytestmark = pytest.mark.django_db
KEY = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
WIDER = {"kv": {"reason": "c", "callsPerInvocation": 11, "callsPerHour": 1000, "bytes": 65536}}


@pytest.fixture
def site(api: APIClient, tmp_path: Path) -> APIClient:
    """Version 1.0.0 serves, and updates install themselves after a day."""
    approved(tmp_path)
    assert api.post("/api/plugins/counter/install", {}, format="json").status_code == 200
    UpdatePolicy.objects.create(plugin=None, automatic=True, cooldown_hours=24)
    return api


def listed(api: APIClient, query: str = "") -> list[dict[str, Any]]:
    answer = api.get(f"/api/updates{query}")
    assert answer.status_code == 200, answer.json()
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def sweep(hours: int) -> list[str]:
    return [str(row.state) for row in automatic.sweep(now=timezone.now() + timedelta(hours=hours))]


def test_a_release_that_cools_down_is_listed_until_it_is_ripe(site: APIClient, tmp_path: Path) -> None:
    """With the version and the time it goes on by itself; by hand it goes ahead at once, and nothing waits any more."""
    assert (sweep(1), listed(site)) == ([], [])
    release = approved(tmp_path, version="1.1.0")
    assert sweep(1) == []
    [told] = listed(site)
    assert (told["plugin"], told["state"], told["needsPerson"]) == ("counter", "cooldown", False)
    assert (told["fromVersion"], told["toVersion"], told["stages"]) == ("1.0.0", "1.1.0", None)
    assert release.approved_at is not None
    assert told["nextAt"] == (release.approved_at + timedelta(hours=24)).isoformat().replace("+00:00", "Z")
    assert told["message"].startswith("The release cools down until ")
    revision = registry.revision()
    assert (sweep(2), registry.revision()) == ([], revision)
    assert site.post("/api/plugins/counter/update", {}, format="json").status_code == 200
    assert listed(site) == []
    assert sweep(25) == []


def test_a_consent_is_given_through_the_api(site: APIClient, tmp_path: Path) -> None:
    """What asks for more is listed as needing a person, whose ``update`` with the digest from the 409 ends the wait."""
    approved(tmp_path, version="1.1.0", capabilities=WIDER)
    sweep(25)
    [told] = listed(site, "?needsPerson=true")
    assert (told["state"], told["toVersion"], told["nextAt"]) == ("consent", "1.1.0", None)
    asked = site.post("/api/plugins/counter/update", {}, format="json")
    assert (asked.status_code, asked.json()["error"]) == (409, "consent_required")
    body = {"consent": asked.json()["consent"]}
    assert site.post("/api/plugins/counter/update", body, format="json").status_code == 200
    assert listed(site) == []


def test_a_setting_is_given_through_the_api(site: APIClient, tmp_path: Path) -> None:
    """A required setting without a value waits for whoever gives it with the update."""
    approved(tmp_path, version="1.1.0", settings=KEY)
    sweep(25)
    [told] = listed(site)
    assert (told["state"], told["needsPerson"], told["toVersion"]) == ("settings", True, "1.1.0")
    assert "key" in told["message"]
    body = {"settings": {"key": "k"}}
    assert site.post("/api/plugins/counter/update", body, format="json").status_code == 200
    assert listed(site) == []


def test_a_new_owner_and_missing_recordings_are_told_apart(site: APIClient, tmp_path: Path) -> None:
    """One needs a person, the other goes away by itself; the home page counts the first alone."""
    approved(tmp_path, version="1.1.0")
    UpdatePolicy.objects.update(shadow_tapes=5)
    sweep(25)
    [told] = listed(site)
    assert (told["state"], told["needsPerson"], told["toVersion"]) == ("recordings", False, "1.1.0")
    assert told["message"] == "0 of the 5 recorded calls to rehearse with."
    browser = Client()
    from django.contrib.auth.models import User

    browser.force_login(User.objects.get(username="eve"))
    assert "No automatic update waits for a person." in browser.get("/admin/").content.decode()
    page = browser.get(f"/admin/zelavis/pluginentry/{registry.get('counter').pk}/change/").content.decode()
    assert "An automatic update to 1.1.0 waits: 0 of the 5" in page
    Plugin.objects.update(ownership=2, transferred_at=timezone.now())
    sweep(25)
    [told] = listed(site)
    assert (told["state"], told["needsPerson"]) == ("owner", True)
    assert "Updates waiting for you" in browser.get("/admin/").content.decode()
    assert "No automatic update waits for a person." not in browser.get("/admin/").content.decode()


@pytest.mark.parametrize(("verb", "serves"), [("promote", "1.1.0"), ("rollback", "1.0.0")])
def test_a_staged_update_is_listed_until_somebody_ends_it(
    site: APIClient, tmp_path: Path, verb: str, serves: str
) -> None:
    """With its share, its next stage and how both versions fare; ``promote`` goes ahead, ``rollback`` stays."""
    UpdatePolicy.objects.update(first_percent=10)
    approved(tmp_path, version="1.1.0")
    assert sweep(25) == ["rolling_out"]
    [told] = listed(site, "?state=staged")
    assert (told["state"], told["needsPerson"]) == ("staged", False)
    assert (told["fromVersion"], told["toVersion"], told["stages"]["percent"]) == ("1.0.0", "1.1.0", 10)
    assert told["nextAt"] == told["stages"]["nextStageAt"] is not None
    assert listed(site, "?needsPerson=true") == []
    assert [one["state"] for one in listed(site, "?needsPerson=false")] == ["staged"]
    assert site.post(f"/api/plugins/counter/{verb}", {}, format="json").status_code in (200, 202)
    assert listed(site) == []
    assert site.get("/api/plugins/counter").json()["version"] == serves


def test_nothing_is_said_to_wait_once_the_policy_is_gone(site: APIClient, tmp_path: Path) -> None:
    """Beat asks once more after the last policy was taken away or the plugin was blocked, so that no wait is left."""
    approved(tmp_path, version="1.1.0", capabilities=WIDER)
    sweep(25)
    assert len(listed(site)) == 1
    UpdatePolicy.objects.all().delete()
    assert automatic.seconds_until_next() is not None
    assert (sweep(25), listed(site)) == ([], [])
    assert automatic.seconds_until_next() is None
    UpdatePolicy.objects.create(plugin=None, automatic=True, cooldown_hours=0)
    sweep(25)
    assert len(listed(site)) == 1
    registry.block("counter", actor="user:a", reason="It misbehaves.")
    assert (sweep(25), listed(site)) == ([], [])


def test_the_list_goes_by_cursor_and_by_filters(api: APIClient) -> None:
    """Each update once, newest plugin first, however many pages; what no filter can have is refused."""
    names = [f"plugin-{number}" for number in range(5)]
    for number, name in enumerate(names):
        serve(name)
        PluginEntry.objects.filter(name=name).update(
            update_wait="consent" if number % 2 else "cooldown", update_waits="It waits.", update_version="2.0.0"
        )
    serve("settled")
    found, url = [], "/api/updates?limit=2"
    while url:
        page = api.get(url).json()
        found += [one["plugin"] for one in page["data"]]
        url = page["next"]
    assert found == names[::-1]
    assert [one["plugin"] for one in listed(api, "?state=consent")] == ["plugin-3", "plugin-1"]
    assert [one["plugin"] for one in listed(api, "?needsPerson=false")] == ["plugin-4", "plugin-2", "plugin-0"]
    assert [one["plugin"] for one in listed(api, "?plugin=plugin-2&state=cooldown")] == ["plugin-2"]
    for wrong in ("state=held", "needsPerson=perhaps", "nothing=1", "limit=0", "cursor=x"):
        assert api.get(f"/api/updates?{wrong}").status_code == 400, wrong
    PluginEntry.objects.update(rollout=None, update_wait="")
    assert listed(api) == []
