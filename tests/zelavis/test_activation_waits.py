"""Activation that takes time: polling, deadlines, intents that meet, crashes and processes that come late."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.zelavis.attempts import install, shelf, states, steps
from tests.zelavis.plugs import ScriptedAdapter
from zelavis import activation
from zelavis.activation import drive, intents, records
from zelavis.adapters.base import Answer, Order
from zelavis.errors import ActivationInProgress
from zelavis.models import Activation

__all__ = ["shelf"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("scripted", "shelf")]


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
