"""What an activation may do: consent, verbs that make sense, revisions, withdrawals, blocks, schedules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.zelavis.attempts import Shelf, install, shelf, states
from tests.zelavis.plugs import ScriptedAdapter
from zelavis import activation, registry
from zelavis.adapters.base import Answer, Order
from zelavis.errors import (
    ConsentOutdated,
    ConsentRequired,
    NothingToUpdate,
    PluginBlocked,
    PluginInstalled,
    PluginNotInstalled,
    PreconditionFailed,
)
from zelavis.models import Activation, PluginEntry, Schedule

__all__ = ["shelf"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("scripted", "shelf")]
KV = {"kv": {"reason": "counts", "callsPerInvocation": 5}}


def test_what_a_version_may_do_has_to_be_agreed_to(shelf: Shelf) -> None:
    """No consent: 409 with what to show and the digest to give; a consent for something else is refused too."""
    shelf.capabilities = KV
    with pytest.raises(ConsentRequired) as caught:
        install()
    assert caught.value.members["capabilities"] == KV
    with pytest.raises(ConsentOutdated):
        install(consent="0" * 64)
    assert not Activation.objects.exists()
    attempt = install(consent=caught.value.members["consent"])
    assert attempt.state == "active"
    assert attempt.deployment is not None
    assert (attempt.deployment.consented_by, json.loads(attempt.deployment.grants)) == ("user:ann", KV)


@pytest.mark.parametrize(
    ("after", "asks"),
    [
        (KV, False),
        ({"kv": {"reason": "other words", "callsPerInvocation": 5}}, False),
        ({"kv": {"reason": "counts", "callsPerInvocation": 4}}, False),
        ({}, False),
        ({"kv": {"reason": "counts", "callsPerInvocation": 6}}, True),
        ({**KV, "http": {"reason": "r", "hosts": ["a.example"]}}, True),
    ],
)
def test_an_update_asks_again_only_for_more(shelf: Shelf, after: dict[str, Any], asks: bool) -> None:
    """The same or less goes without a question; anything more waits, and the old version serves meanwhile."""
    shelf.capabilities = KV
    with pytest.raises(ConsentRequired) as caught:
        install()
    install(consent=caught.value.members["consent"])
    shelf.newest, shelf.capabilities = "2.0.0", after
    if asks:
        with pytest.raises(ConsentRequired):
            activation.update("alpha", actor="user:ann")
        assert states()[3] == "1.0.0"
    else:
        assert activation.update("alpha", actor="user:ann").state == "active"


def test_a_route_that_becomes_public_is_more(shelf: Shelf) -> None:
    """Opening a route to everybody needs consent like a capability."""
    shelf.declared = {"routes": [{"path": "/x", "methods": ["GET"]}]}
    install()
    shelf.newest = "2.0.0"
    shelf.declared = {"routes": [{"path": "/x", "methods": ["GET"], "public": True}]}
    with pytest.raises(ConsentRequired) as caught:
        activation.update("alpha", actor="user:ann")
    assert caught.value.members["added"] == ["public route GET /x"]


def test_verbs_refuse_what_makes_no_sense() -> None:
    """Installed twice, the same version again, uninstalled twice: each has its own answer."""
    install()
    with pytest.raises(PluginInstalled):
        install()
    with pytest.raises(NothingToUpdate):
        activation.update("alpha", actor="user:ann")
    activation.uninstall("alpha", actor="user:ann")
    with pytest.raises(PluginNotInstalled):
        activation.uninstall("alpha", actor="user:ann")
    with pytest.raises(PluginNotInstalled):
        activation.update("alpha", actor="user:ann")


def test_a_verb_for_an_old_revision_is_refused() -> None:
    """If-Match: the entry must be as the caller saw it."""
    install()
    with pytest.raises(PreconditionFailed):
        activation.uninstall("alpha", actor="user:ann", expected=1)


def test_a_withdrawn_version_stops_at_once_and_does_not_come_back(scripted: ScriptedAdapter, shelf: Shelf) -> None:
    """The kill switch: out of service in one transaction, for exactly the digest that was withdrawn."""
    attempt = install()
    assert attempt.deployment is not None
    assert not activation.stop("alpha", digests={"other"}, reason="r", actor="system")
    assert registry.active_entry("alpha") is not None
    assert activation.stop("alpha", digests={attempt.deployment.digest}, reason="malware", actor="user:c")
    assert registry.active_entry("alpha") is None
    assert states() == ("available", "none", "inactive", None)


def test_a_version_withdrawn_on_its_way_never_serves(scripted: ScriptedAdapter) -> None:
    """Quarantine between deploy and "active" wins."""

    def meanwhile(order: Order) -> Answer:
        activation.stop("alpha", reason="malware", actor="user:c")
        return Answer(status="active")

    scripted.on_activate = meanwhile
    assert install().state == "superseded"
    assert registry.active_entry("alpha") is None


def test_a_block_wins_over_an_answer_that_is_on_its_way(scripted: ScriptedAdapter) -> None:
    """Blocked meanwhile: the worker's "active" does not count; blocked before: no verb works."""

    def meanwhile(order: Order) -> Answer:
        PluginEntry.objects.update(blocked="quarantined")
        return Answer(status="active")

    scripted.on_activate = meanwhile
    attempt = install()
    assert (attempt.state, attempt.code) == ("failed", "plugin_blocked")
    with pytest.raises(PluginBlocked):
        install()


def test_a_blocked_plugin_can_still_be_uninstalled() -> None:
    """A block keeps a plugin from serving, not from going."""
    install()
    PluginEntry.objects.update(blocked="quarantined")
    with pytest.raises(PluginBlocked):
        activation.activate("alpha", actor="user:ann")
    assert activation.uninstall("alpha", actor="user:ann").state == "inactive"


def test_schedules_follow_the_version_that_serves(shelf: Shelf) -> None:
    """Rows appear with the install, unchanged ones keep their next time over an update, gone ones go."""
    nightly = {"name": "nightly", "cron": "0 3 * * *"}
    shelf.declared = {"schedules": [nightly, {"name": "hourly", "cron": "0 * * * *"}]}
    install()
    kept = Schedule.objects.get(name="nightly")
    shelf.newest, shelf.declared = "2.0.0", {"schedules": [nightly]}
    activation.update("alpha", actor="user:ann")
    assert [row.pk for row in Schedule.objects.all()] == [kept.pk]
    activation.uninstall("alpha", actor="user:ann")
    assert not Schedule.objects.exists()
