"""Updates that install themselves: by policy alone, never to more, never twice to what failed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from marketplace.models import Install, Plugin, PublisherKey, Release, UpdatePolicy
from tests.zelavis.releases import MODULE, approved
from zelavis import activation, registry
from zelavis.activation import automatic
from zelavis.errors import ConsentOutdated, ConsentRequired
from zelavis.models import PluginEntry

pytestmark = pytest.mark.django_db


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Version 1.0.0 serves."""
    approved(tmp_path)
    User.objects.get_or_create(username="ann")
    assert activation.install("counter", actor="user:ann", implied=True).state == "active"
    return tmp_path


def later() -> list[str]:
    """The states of what an hour later is done without anybody."""
    return [str(row.state) for row in automatic.sweep(now=timezone.now() + timedelta(hours=1))]


def test_without_a_policy_nothing_updates_itself(installed: Path) -> None:
    """By hand is the rule; beat does not even wake for it."""
    approved(installed, version="1.1.0")
    assert automatic.seconds_until_next() is None
    assert later() == []


def test_a_policy_brings_the_newer_version_into_service(installed: Path) -> None:
    """Once, as the system, with an attempt like any other; the version before stays for roll back."""
    UpdatePolicy.objects.create(plugin=None, automatic=True, cooldown_hours=0)
    assert automatic.seconds_until_next() == 0.0
    approved(installed, version="1.1.0")
    assert later() == ["active"]
    entry = registry.get("counter")
    assert (str(entry.serving), str(entry.previous)) == ("counter@1.1.0", "counter@1.0.0")
    assert entry.activations.order_by("-created_at").first().actor == "system"  # type: ignore[union-attr]
    assert later() == []


def test_more_capabilities_wait_for_a_person(installed: Path) -> None:
    """An automatic update never escalates."""
    UpdatePolicy.objects.create(plugin=None, automatic=True, cooldown_hours=0)
    wider = {"kv": {"reason": "c", "callsPerInvocation": 11, "callsPerHour": 1000, "bytes": 65536}}
    approved(installed, version="1.1.0", capabilities=wider)
    assert later() == []
    assert str(registry.get("counter").serving) == "counter@1.0.0"


@pytest.mark.parametrize(("wish", "states"), [({"first_percent": 10}, ["rolling_out"]), ({"shadow_tapes": 5}, [])])
def test_a_policy_of_stages_is_not_met_by_a_plain_update(
    installed: Path, wish: dict[str, int], states: list[str]
) -> None:
    """Who asks for a share first, or for a rehearsal, does not get the whole update at once."""
    UpdatePolicy.objects.create(plugin=None, automatic=True, cooldown_hours=0, **wish)
    approved(installed, version="1.1.0")
    assert later() == states
    assert str(registry.get("counter").serving) == "counter@1.0.0"


def test_a_new_owner_needs_consent_first(installed: Path) -> None:
    """Consent given before the plugin changed hands does not carry."""
    UpdatePolicy.objects.create(plugin=None, automatic=True, cooldown_hours=0)
    approved(installed, version="1.1.0")
    Plugin.objects.update(ownership=2, transferred_at=timezone.now())
    assert later() == []


def test_an_unsigned_version_is_no_update_of_a_signed_one(installed: Path) -> None:
    """Where the version that serves is signed by its publisher and the next is not, it waits and says why."""
    UpdatePolicy.objects.create(plugin=None, automatic=True, cooldown_hours=0)
    unsigned = approved(installed, version="1.1.0")
    # A publisher who signs cannot send anything unsigned; one that a plugin went to may.
    key = PublisherKey.objects.create(publisher=unsigned.publisher, key_id="0" * 16, public_key="x")
    Release.objects.filter(version="1.0.0").update(signed_by=key)
    assert later() == []
    entry = registry.get("counter")
    assert (str(entry.serving), entry.update_wait, entry.update_version) == ("counter@1.0.0", "signature", "1.1.0")
    assert entry.update_waits == "The installed release is signed by its publisher and this one is not."
    Release.objects.filter(version="1.1.0").update(signed_by=key)
    assert later() == ["active"]
    assert registry.get("counter").update_wait == ""


def test_g11_after_a_change_of_hands_every_update_asks_again(installed: Path) -> None:
    """G11: an update by hand to the same capabilities needs a consent too; one given before the change is void."""
    approved(installed, version="1.1.0")
    Plugin.objects.update(ownership=2, transferred_at=timezone.now())
    with pytest.raises(ConsentRequired) as before:
        activation.update("counter", actor="user:op")
    assert before.value.members["added"] == ["new owner: tests"]
    Plugin.objects.update(ownership=3, transferred_at=timezone.now())
    with pytest.raises(ConsentOutdated) as again:
        activation.update("counter", actor="user:op", consent=before.value.members["consent"])
    activation.update("counter", actor="user:op", consent=again.value.members["consent"])
    assert registry.get("counter").serving.version == "1.1.0"
    approved(installed, version="1.2.0")
    activation.update("counter", actor="user:op")
    assert registry.get("counter").serving.version == "1.2.0"


def test_a_version_that_failed_is_not_tried_again(installed: Path) -> None:
    """One attempt; the old version serves on."""
    UpdatePolicy.objects.create(plugin=None, automatic=True, cooldown_hours=0)
    broken = MODULE.replace('await ctx.kv.increment("activations");', 'throw new Error("no");')
    approved(installed, version="1.1.0", module=broken)
    assert later() == ["failed"]
    assert later() == []
    assert str(registry.get("counter").serving) == "counter@1.0.0"


def test_an_install_is_counted_once_for_this_site(installed: Path) -> None:
    """Installs and updates here are one install of the marketplace's count, made by the person who asked."""
    approved(installed, version="1.1.0")
    activation.update("counter", actor="user:ann")
    counted = Install.objects.get()
    assert (counted.user.username, counted.release.version) == ("ann", "1.1.0")  # type: ignore[union-attr]
    assert Plugin.objects.get(name="counter").installs == 1


def waits() -> str:
    return PluginEntry.objects.get().update_waits


def test_an_update_that_waits_for_a_person_says_so_at_home(installed: Path, client: Client) -> None:
    """A consent, then a setting that is missing: card, badge and page name it until the update is made or needless."""
    UpdatePolicy.objects.create(plugin=None, automatic=True, cooldown_hours=0)
    client.force_login(User.objects.get(username="eve"))
    wider = {"kv": {"reason": "c", "callsPerInvocation": 11, "callsPerHour": 1000, "bytes": 65536}}
    later()
    assert waits() == ""
    assert "No automatic update waits for a person." in client.get("/admin/").content.decode()
    approved(installed, version="1.1.0", capabilities=wider)
    revision = registry.revision()
    later()
    assert waits() == "The release asks for more than was consented to."
    assert registry.revision() == revision
    assert "Updates waiting for you" in client.get("/admin/").content.decode()
    assert "a consent or a setting is missing" in client.get("/admin/").content.decode()
    listed = client.get("/admin/zelavis/pluginentry/?update_wait__in=consent,settings")
    assert listed.status_code == 200
    assert "update waits" in listed.content.decode()
    shown = client.get(f"/admin/zelavis/pluginentry/{registry.get('counter').pk}/change/").content.decode()
    assert "asks for more than was consented to" in shown
    with pytest.raises(ConsentRequired) as asked:
        activation.update("counter", actor="user:ann")
    activation.update("counter", actor="user:ann", consent=asked.value.members["consent"])
    assert waits() == ""
    needed = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
    approved(installed, version="1.2.0", capabilities=wider, settings=needed)
    assert later() == []
    assert "key" in waits()
    activation.uninstall("counter", actor="user:ann")
    assert waits() == ""
