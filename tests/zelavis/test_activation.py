"""Activation: the way of an attempt, restoring, rolling back, uninstalling, retrying.

Waits and crashes are in test_activation_waits.py, what an attempt may do at all in test_activation_rules.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.zelavis.attempts import Shelf, entry, install, shelf, states, steps
from tests.zelavis.plugs import ScriptedAdapter
from zelavis import activation, registry
from zelavis.adapters.base import Answer, DeployRefused, Order
from zelavis.errors import NothingToRollBack, NotRetryable
from zelavis.models import AuditEvent

__all__ = ["shelf"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("scripted", "shelf")]


def test_an_install_deploys_activates_and_only_then_serves(scripted: ScriptedAdapter) -> None:
    """Intent, deploy, activate, record: the registry says "active" last, and the timeline has each step."""

    def not_yet(order: Order) -> Answer:
        assert states() == ("installed", "deployed", "pending", None)
        assert registry.active_entry("alpha") is None
        return Answer(status="active", message="Here.")

    scripted.on_activate = not_yet
    attempt = install(reason="we need it")
    assert attempt.state == "active"
    assert steps(attempt) == ["requested", "deployed", "active"]
    assert states() == ("installed", "deployed", "active", "1.0.0")
    assert entry().serving.proven_by == attempt.pk  # type: ignore[union-attr]
    assert AuditEvent.objects.get(action="plugin.install").reason == "we need it"


def test_the_standard_request_is_the_seeds(scripted: ScriptedAdapter) -> None:
    """Members and their order are the seed's; the registry in it is the plugin's own entry and nobody else's."""
    install("other")
    attempt = install()
    assert json.loads(attempt.request) == {
        "pluginName": "alpha",
        "action": "install",
        "specifier": "marketplace:alpha@1.0.0",
        "registry": [
            {
                "name": "alpha",
                "specifier": "marketplace:alpha@1.0.0",
                "status": "installed",
                "source": "community",
            }
        ],
    }
    assert list(json.loads(attempt.request)) == ["pluginName", "action", "specifier", "registry"]


def test_a_failed_deployment_restores(scripted: ScriptedAdapter) -> None:
    """Nothing serves, the entry is available as before, and the attempt says where it ended."""

    def refuse(order: Order) -> None:
        raise DeployRefused("No room.")

    scripted.on_deploy = refuse
    attempt = install()
    assert (attempt.state, attempt.code, attempt.message) == ("failed", "deploy_failed", "No room.")
    assert states() == ("available", "failed", "failed", None)
    assert scripted.orders == []


@pytest.mark.parametrize("where", ["deploy", "activate"])
def test_an_unexpected_exception_is_a_failed_attempt(scripted: ScriptedAdapter, where: str) -> None:
    """Whatever a platform throws, the attempt ends and restores; the text of the exception is not shown."""

    def burst(order: Order) -> Any:
        raise ZeroDivisionError("secret detail")

    setattr(scripted, f"on_{where}", burst)
    attempt = install()
    assert (attempt.state, attempt.code) == ("failed", "internal_error")
    assert "secret detail" not in attempt.message
    assert states()[0] == "available"


def test_the_previous_version_serves_until_the_new_one_answers(scripted: ScriptedAdapter, shelf: Shelf) -> None:
    """During an update the old version is what hooks reach; after it the new one is, and the old is kept."""
    install()
    shelf.newest = "2.0.0"

    def look(order: Order) -> Answer:
        found = registry.active_entry("alpha")
        assert found is not None
        assert found.version == "1.0.0"
        return Answer(status="active")

    scripted.on_activate = look
    attempt = activation.update("alpha", actor="user:ann")
    assert attempt.state == "active"
    assert states() == ("installed", "deployed", "active", "2.0.0")
    assert entry().previous.version == "1.0.0"  # type: ignore[union-attr]


@pytest.mark.parametrize("answer", [Answer(status="failed", code="x", message="no"), "throws"])
def test_a_failed_update_leaves_the_old_version_serving(scripted: ScriptedAdapter, shelf: Shelf, answer: Any) -> None:
    """The entry is active with the old version, and the timeline says that it was restored."""
    install()
    shelf.newest = "2.0.0"

    def no(order: Order) -> Answer:
        if answer == "throws":
            raise RuntimeError
        return answer

    scripted.on_activate = no
    attempt = activation.update("alpha", actor="user:ann")
    assert attempt.state == "failed"
    assert states() == ("installed", "deployed", "active", "1.0.0")
    assert "restored" in steps(attempt)


def test_rollback_and_rollback_again_are_pointer_moves(scripted: ScriptedAdapter, shelf: Shelf) -> None:
    """Going back deploys nothing anew, and going back twice is where one was."""
    install()
    shelf.newest = "2.0.0"
    activation.update("alpha", actor="user:ann")
    deployed = len(scripted.deploys)
    attempt = activation.rollback("alpha", actor="user:ann", reason="broken")
    assert attempt.state == "active"
    assert states()[3] == "1.0.0"
    assert scripted.orders[-1].action == "update"
    activation.rollback("alpha", actor="user:ann")
    assert states()[3] == "2.0.0"
    assert len(scripted.deploys) == deployed


def test_there_is_nothing_to_roll_back_to_after_the_first_install() -> None:
    """A roll back needs a version that served before."""
    install()
    with pytest.raises(NothingToRollBack):
        activation.rollback("alpha", actor="user:ann")


def test_uninstall_stops_serving_before_anybody_is_told(scripted: ScriptedAdapter) -> None:
    """The plugin is out of service while its farewell is on the way; then all three states are empty."""
    install()

    def farewell(order: Order) -> Answer:
        assert registry.active_entry("alpha") is None
        assert order.action == "uninstall"
        return Answer(status="active")

    scripted.on_activate = farewell
    attempt = activation.uninstall("alpha", actor="user:ann")
    assert attempt.state == "inactive"
    assert states() == ("available", "none", "inactive", None)


def test_an_uninstall_that_nobody_confirms_stays_out_of_service_and_can_be_retried(scripted: ScriptedAdapter) -> None:
    """Failing closed: the farewell failed, the plugin is gone from service all the same."""
    install()
    scripted.on_activate = lambda order: Answer(status="failed", code="worker_refused", message="no")
    attempt = activation.uninstall("alpha", actor="user:ann")
    assert attempt.state == "failed"
    assert states() == ("available", "deployed", "failed", None)
    scripted.on_activate = lambda order: Answer(status="active")
    again = activation.retry(attempt.pk, actor="user:ann")
    assert (again.state, again.attempt) == ("inactive", 2)
    assert states() == ("available", "none", "inactive", None)


def test_only_the_newest_failed_attempt_is_retried(scripted: ScriptedAdapter) -> None:
    """An old failure, or a success, is not tried again."""
    scripted.on_activate = lambda order: Answer(status="failed", message="no")
    first = install()
    second = activation.retry(first.pk, actor="user:ann")
    assert (second.attempt, second.retry_of_id, second.state) == (2, first.pk, "failed")
    with pytest.raises(NotRetryable):
        activation.retry(first.pk, actor="user:ann")
    scripted.on_activate = lambda order: Answer(status="active")
    third = activation.retry(second.pk, actor="user:ann")
    assert (third.attempt, third.retry_of_id, third.state) == (3, first.pk, "active")
    with pytest.raises(NotRetryable):
        activation.retry(third.pk, actor="user:ann")


def test_activate_asks_what_serves_again(scripted: ScriptedAdapter) -> None:
    """The version goes on serving whatever comes of it, and the attempt tells."""
    install()
    scripted.on_activate = lambda order: Answer(status="failed", code="worker_refused", message="lost it")
    attempt = activation.activate("alpha", actor="user:ann")
    assert attempt.state == "failed"
    assert states() == ("installed", "deployed", "active", "1.0.0")
