"""Activation: intents, attempts, restoring, polling, resuming."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.zelavis.plugs import ScriptedAdapter, manifest
from zelavis import activation, registry
from zelavis.activation import drive, intents, records, targets
from zelavis.activation.targets import Target
from zelavis.adapters.base import Answer, DeployRefused, Order
from zelavis.errors import (
    ActivationInProgress,
    ConsentOutdated,
    ConsentRequired,
    NothingToRollBack,
    NothingToUpdate,
    NotRetryable,
    PluginBlocked,
    PluginInstalled,
    PluginNotInstalled,
    PreconditionFailed,
)
from zelavis.models import Activation, AuditEvent, PluginEntry, Schedule

pytestmark = pytest.mark.django_db

KV = {"kv": {"reason": "counts", "callsPerInvocation": 5}}


class Shelf:
    """Versions that can be installed, instead of the marketplace's releases."""

    def __init__(self) -> None:
        self.newest = "1.0.0"
        self.capabilities: dict[str, dict[str, Any]] = {}
        self.declared: dict[str, Any] = {"hooks": ["content:afterSave"]}

    def find(self, name: str, version: str | None, **_: Any) -> Target:
        version = version or self.newest
        return Target(
            name=name,
            version=version,
            specifier=f"marketplace:{name}@{version}",
            source="community",
            digest=version.replace(".", "") * 16,
            entry_digest="e" * 64,
            kind="javascript",
            manifest=manifest(name, version=version, capabilities=self.capabilities, **self.declared),
        )


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """One plugin with as many versions as a test asks for."""
    shelf = Shelf()
    monkeypatch.setattr(targets, "find", shelf.find)
    return shelf


@pytest.fixture(autouse=True)
def _scripted(scripted: ScriptedAdapter, shelf: Shelf) -> None:
    """Every test here works with both."""


def install(name: str = "alpha", **given: Any) -> Activation:
    return activation.install(name, actor="user:ann", adapter="scripted", **given)


def steps(attempt: Activation) -> list[str]:
    return list(attempt.events.values_list("step", flat=True))


def entry(name: str = "alpha") -> PluginEntry:
    return registry.get(name)


def states(name: str = "alpha") -> tuple[str, str, str, str | None]:
    found = entry(name)
    return (
        found.status,
        found.deployment_state,
        found.activation_state,
        found.serving.version if found.serving else None,
    )


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


def test_pending_is_polled_with_growing_waits_until_active(scripted: ScriptedAdapter) -> None:
    """Each "not yet" waits longer than the one before; the same id goes with every poll."""
    answers = [Answer(status="pending", message="soon", code="worker_pending", http_status=200)] * 3
    scripted.on_activate = lambda order: answers.pop() if answers else Answer(status="active")
    attempt = install()
    assert (attempt.state, attempt.polls, states()[2]) == ("pending", 1, "pending")
    waits = []
    now = timezone.now()
    while attempt.state == "pending":
        assert attempt.wake_at is not None
        waits.append((attempt.wake_at - now).total_seconds())
        now = attempt.wake_at
        taken = drive.claim(attempt.pk, now=now)
        assert taken is not None
        attempt = drive.go(taken, clock=lambda moment=now: moment)  # type: ignore[misc]
    assert attempt.state == "active"
    assert waits[0] < waits[1] < waits[2]
    assert {order.activation for order in scripted.orders} == {attempt.pk}
    assert len(scripted.deploys) == 1
    assert [event.attempt for event in attempt.events.filter(step="pending")] == [1, 2, 3]


def test_pending_for_ever_ends_in_failure_with_the_last_message(scripted: ScriptedAdapter) -> None:
    """Bounded polls, then failed; what served before serves on."""
    scripted.on_activate = lambda order: Answer(status="pending", message="propagating", code="worker_pending")
    attempt = install()
    while attempt.wake_at is not None:
        now = attempt.wake_at
        taken = drive.claim(attempt.pk, now=now)
        assert taken is not None
        attempt = drive.go(taken, clock=lambda moment=now: moment)  # type: ignore[misc]
    assert attempt.state == "failed"
    assert "propagating" in attempt.message
    assert attempt.polls <= records.POLLS
    assert states()[0] == "available"


def test_waiting_ends_at_the_deadline(scripted: ScriptedAdapter) -> None:
    """A poll after the deadline is the last one."""
    scripted.on_activate = lambda order: Answer(status="pending")
    attempt = install()
    late = attempt.deadline_at + timedelta(seconds=1)
    taken = drive.claim(attempt.pk, now=late)
    assert taken is not None
    assert drive.go(taken, clock=lambda: late).state == "failed"


def test_a_second_intent_waits_for_the_first(scripted: ScriptedAdapter) -> None:
    """Two operators at once: the second is told which attempt is at work, and nothing of his is recorded."""
    scripted.on_activate = lambda order: Answer(status="pending")
    first = install()
    with pytest.raises(ActivationInProgress) as caught:
        install()
    assert caught.value.members["activation"] == first.pk
    assert Activation.objects.count() == 1


def test_uninstalling_does_not_wait_for_what_is_pending(scripted: ScriptedAdapter) -> None:
    """Going away supersedes an attempt at work; whoever works on it can record nothing any more."""
    scripted.on_activate = lambda order: Answer(status="pending")
    first = install()
    taken = drive.claim(first.pk, now=first.wake_at)  # type: ignore[arg-type]
    assert taken is not None
    scripted.on_activate = lambda order: Answer(status="active")
    gone = activation.uninstall("alpha", actor="user:bob")
    assert gone.state == "inactive"
    assert drive.go(taken).state == "superseded"
    assert states() == ("available", "none", "inactive", None)


@pytest.mark.parametrize("at", ["requested", "deploying", "activating"])
def test_a_crash_between_any_two_steps_is_taken_up_again(
    scripted: ScriptedAdapter, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """A process that dies leaves a lease that runs out; the next one goes on from the last recorded step."""

    class Died(BaseException):
        pass

    def die(*args: Any) -> Any:
        raise Died

    if at == "requested":
        monkeypatch.setattr(intents.drive, "go", die)
    elif at == "deploying":
        scripted.on_deploy = die
    else:
        scripted.on_activate = die
    with pytest.raises(Died):
        install()
    monkeypatch.undo()
    scripted.on_deploy = lambda order: None
    scripted.on_activate = lambda order: Answer(status="active")
    attempt = Activation.objects.get()
    assert attempt.state == at
    assert drive.claim(attempt.pk, now=timezone.now()) is None
    assert activation.sweep(now=attempt.wake_at) == 1
    attempt.refresh_from_db()
    assert attempt.state == "active"
    assert "resumed" in steps(attempt)
    assert len(scripted.deploys) == (2 if at == "deploying" else 1)
    assert states() == ("installed", "deployed", "active", "1.0.0")


def test_an_attempt_that_kills_whoever_works_on_it_is_given_up(scripted: ScriptedAdapter) -> None:
    """After five claims without an end the attempt fails and restores."""

    class Died(BaseException):
        pass

    def die(order: Order) -> None:
        raise Died

    scripted.on_deploy = die
    with pytest.raises(Died):
        install()
    attempt = Activation.objects.get()
    for _ in range(drive.CLAIMS):
        attempt.refresh_from_db()
        if attempt.finished:
            break
        try:
            activation.sweep(now=attempt.wake_at)
        except Died:
            continue
    attempt.refresh_from_db()
    assert (attempt.state, attempt.code) == ("failed", "abandoned")
    assert states()[0] == "available"


def test_a_process_that_woke_up_late_records_nothing(scripted: ScriptedAdapter) -> None:
    """Its fence is old: the other process's result stands."""
    slow: list[Activation] = []

    def overtaken(order: Order) -> Answer:
        if not slow:
            attempt = Activation.objects.get()
            slow.append(attempt)
            assert attempt.wake_at is not None
            assert activation.sweep(now=attempt.wake_at) == 1
            return Answer(status="failed", message="too late")
        return Answer(status="active")

    scripted.on_activate = overtaken
    assert install().state == "active"
    assert states() == ("installed", "deployed", "active", "1.0.0")


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


def test_activate_asks_what_serves_again(scripted: ScriptedAdapter) -> None:
    """The version goes on serving whatever comes of it, and the attempt tells."""
    install()
    scripted.on_activate = lambda order: Answer(status="failed", code="worker_refused", message="lost it")
    attempt = activation.activate("alpha", actor="user:ann")
    assert attempt.state == "failed"
    assert states() == ("installed", "deployed", "active", "1.0.0")


def test_a_blocked_plugin_can_still_be_uninstalled() -> None:
    """A block keeps a plugin from serving, not from going."""
    install()
    PluginEntry.objects.update(blocked="quarantined")
    with pytest.raises(PluginBlocked):
        activation.activate("alpha", actor="user:ann")
    assert activation.uninstall("alpha", actor="user:ann").state == "inactive"
