"""Firing hooks: order, budget, error policy, changes, withheld parts, breakers, loops."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.utils import timezone

from tests.zelavis.plugs import ScriptedAdapter, serve
from zelavis import hooks
from zelavis.active import ActiveEntry
from zelavis.adapters.base import Call, CallOutcome
from zelavis.errors import HookLoop, InvalidEvent, UnknownHook
from zelavis.hooks import breakers, chain
from zelavis.models import CircuitBreaker

pytestmark = pytest.mark.django_db

PAGE = {
    "collection": "flatpages.flatpage",
    "id": "1",
    "created": False,
    "content": {"title": "About", "body": "one two", "enableComments": False},
}
READ = {"content:read": {"reason": "r"}}
WRITE = {"content:write": {"reason": "r"}}


def says(**answers: CallOutcome) -> Any:
    """An adapter's script: what each plugin answers."""

    def on_call(entry: ActiveEntry, call: Call) -> CallOutcome:
        return answers.get(entry.name, CallOutcome(status="ok"))

    return on_call


def test_every_listener_is_asked_in_order_with_one_correlation(scripted: ScriptedAdapter) -> None:
    """Outcomes come in the order of the calls, and all calls of one event share a correlation."""
    serve("second", hooks=["content:afterSave"], order=2)
    serve("first", hooks=["content:afterSave"], order=1)
    result = hooks.fire("content:afterSave", PAGE, actor="user:a")
    assert [outcome.plugin for outcome in result.outcomes] == ["first", "second"]
    assert {call.correlation for _, call in scripted.calls} == {result.correlation}
    assert len({call.id for _, call in scripted.calls}) == 2


def test_an_unknown_hook_and_a_bad_event_are_refused_before_anyone_is_asked(scripted: ScriptedAdapter) -> None:
    """Catalogue and schema are checked first."""
    serve("alpha", hooks=["content:afterSave"])
    with pytest.raises(UnknownHook):
        hooks.fire("content:sometime", PAGE)
    for bad in ({}, {**PAGE, "extra": 1}, {**PAGE, "content": "text"}, {**PAGE, "collection": 5}):
        with pytest.raises(InvalidEvent):
            hooks.fire("content:afterSave", bad)
    assert scripted.calls == []


def test_parts_without_a_capability_are_withheld(scripted: ScriptedAdapter) -> None:
    """A plugin sees of an event what it has a capability for, and no more."""
    serve("blind", hooks=["content:afterSave"], order=1)
    serve("reader", hooks=["content:afterSave"], order=2, capabilities=READ)
    hooks.fire("content:afterSave", PAGE)
    assert [sorted(call.event) for _, call in scripted.calls] == [
        ["collection", "created", "id"],
        ["collection", "content", "created", "id"],
    ]


def test_a_user_without_users_read_is_an_id(scripted: ScriptedAdapter) -> None:
    """Name and address of a new user need the capability users:read."""
    serve("alpha", hooks=["user:created"])
    hooks.fire("user:created", {"id": "1", "username": "a", "email": "a@example.com", "isStaff": False})
    assert sorted(scripted.calls[0][1].event) == ["id", "isStaff"]


def test_a_before_hook_that_rejects_ends_the_chain(scripted: ScriptedAdapter) -> None:
    """The rejection names plugin, message and field; who comes later is not asked."""
    serve("guard", hooks=["content:beforeSave"], order=1)
    serve("later", hooks=["content:beforeSave"], order=2)
    scripted.on_call = says(
        guard=CallOutcome(status="rejected", result={"reject": {"message": "No swearing.", "field": "title"}})
    )
    result = hooks.fire("content:beforeSave", PAGE)
    assert result.rejection is not None
    assert (result.rejection.plugin, result.rejection.message, result.rejection.field) == (
        "guard",
        "No swearing.",
        "title",
    )
    assert [(outcome.plugin, outcome.status) for outcome in result.outcomes] == [
        ("guard", "rejected"),
        ("later", "skipped"),
    ]
    assert len(scripted.calls) == 1


def test_changes_pass_from_listener_to_listener(scripted: ScriptedAdapter) -> None:
    """A changed field is what the next listener sees, and the last word is what the caller gets."""
    serve("one", hooks=["content:beforeSave"], order=1, capabilities=WRITE)
    serve("two", hooks=["content:beforeSave"], order=2, capabilities=WRITE)
    scripted.on_call = lambda entry, call: CallOutcome(
        status="ok", result={"change": {"title": call.event["content"]["title"] + f" {entry.name}"}}
    )
    assert hooks.fire("content:beforeSave", PAGE).changes == {"title": "About one two"}


@pytest.mark.parametrize(
    ("capabilities", "change"),
    [
        (READ, {"title": "x"}),
        (WRITE, {"nothing": "x"}),
        (WRITE, {"title": 5}),
        (WRITE, ["title"]),
        (WRITE, {"enableComments": "yes"}),
    ],
)
def test_a_change_that_is_not_allowed_is_a_failure_and_changes_nothing(
    scripted: ScriptedAdapter, capabilities: dict[str, Any], change: Any
) -> None:
    """Undeclared capability, unknown field, another type: by default the save is refused, never half applied."""
    serve("alpha", hooks=["content:beforeSave"], capabilities=capabilities)
    scripted.on_call = says(alpha=CallOutcome(status="ok", result={"change": change}))
    result = hooks.fire("content:beforeSave", PAGE)
    assert result.changes == {}
    assert result.rejection is not None
    assert result.rejection.code == "plugin_failed"
    assert result.outcomes[0].code == "change_refused"


@pytest.mark.parametrize(("policy", "rejected"), [(None, True), ("abort", True), ("continue", False)])
def test_a_failing_before_hook_follows_its_error_policy(
    scripted: ScriptedAdapter, policy: str | None, rejected: bool
) -> None:
    """Without a policy a before-hook that fails refuses the change: what could not be checked is not let through."""
    hook = {"name": "content:beforeSave", **({"onError": policy} if policy else {})}
    serve("alpha", hooks=[hook], order=1)
    serve("beta", hooks=["content:beforeSave"], order=2)
    scripted.on_call = says(alpha=CallOutcome(status="trap", error_message="boom"))
    result = hooks.fire("content:beforeSave", PAGE)
    assert result.rejected is rejected
    assert len(scripted.calls) == (1 if rejected else 2)


@pytest.mark.parametrize(("policy", "asked"), [(None, 2), ("continue", 2), ("abort", 1)])
def test_a_failing_after_hook_follows_its_error_policy(
    scripted: ScriptedAdapter, policy: str | None, asked: int
) -> None:
    """After-hooks go on by default; ``abort`` stops those who come later."""
    hook = {"name": "content:afterSave", **({"onError": policy} if policy else {})}
    serve("alpha", hooks=[hook], order=1)
    serve("beta", hooks=["content:afterSave"], order=2)
    scripted.on_call = says(alpha=CallOutcome(status="deadline"))
    result = hooks.fire("content:afterSave", PAGE)
    assert not result.rejected
    assert len(scripted.calls) == asked


def test_a_hundred_slow_plugins_stay_inside_the_hooks_budget(scripted: ScriptedAdapter) -> None:
    """One budget for all: who comes after it is used up is skipped and said so, and no call gets more than is left."""
    for number in range(100):
        serve(f"slow-{number:02}", hooks=[{"name": "content:beforeSave", "onError": "continue", "timeoutMs": 250}])

    def slow(entry: ActiveEntry, call: Call) -> CallOutcome:
        assert call.deadline_ms <= 250
        time.sleep(0.06)
        return CallOutcome(status="ok")

    scripted.on_call = slow
    started = time.monotonic()
    result = hooks.fire("content:beforeSave", PAGE)
    took = time.monotonic() - started
    budget = hooks.HOOKS["content:beforeSave"].budget_ms / 1000
    assert took < budget + 0.5
    assert len(result.outcomes) == 100
    assert {outcome.code for outcome in result.outcomes if outcome.status == "skipped"} == {"hook_budget"}


def test_five_failures_in_a_row_open_the_breaker_and_one_trial_is_let_through(scripted: ScriptedAdapter) -> None:
    """After five traps the plugin rests; when the rest is over one call tries, and a good one closes the breaker."""
    serve("alpha", hooks=["content:afterSave"])
    scripted.on_call = says(alpha=CallOutcome(status="trap", error_message="boom"))
    now = timezone.now()
    for _ in range(5):
        assert hooks.fire("content:afterSave", PAGE, now=now).outcomes[0].status == "trap"
    assert hooks.fire("content:afterSave", PAGE, now=now).outcomes[0].status == "resting"
    assert len(scripted.calls) == 5
    later = now + breakers.REST + timedelta(seconds=1)
    scripted.on_call = says()
    assert hooks.fire("content:afterSave", PAGE, now=later).outcomes[0].status == "ok"
    breaker = CircuitBreaker.objects.get(plugin="alpha")
    assert (breaker.failures, breaker.is_open) == (0, False)


def test_a_trial_that_fails_doubles_the_rest(scripted: ScriptedAdapter) -> None:
    """The second rest is twice the first."""
    serve("alpha", hooks=["content:afterSave"])
    scripted.on_call = says(alpha=CallOutcome(status="deadline"))
    now = timezone.now()
    for _ in range(5):
        hooks.fire("content:afterSave", PAGE, now=now)
    later = now + breakers.REST + timedelta(seconds=1)
    hooks.fire("content:afterSave", PAGE, now=later)
    breaker = CircuitBreaker.objects.get(plugin="alpha")
    assert breaker.retry_at == later + 2 * breakers.REST


def test_calls_that_began_before_the_breaker_opened_do_not_lengthen_the_rest() -> None:
    """Twenty calls at once that all fail are one reason to rest: the first rest is as long as after five."""
    now = timezone.now()
    for _ in range(20):
        breakers.record("alpha", "trap", "boom", breaker=None, now=now)
    breaker = CircuitBreaker.objects.get(plugin="alpha")
    assert (breaker.trips, breaker.retry_at, breaker.failures) == (1, now + breakers.REST, 20)


def test_a_breaker_that_is_reset_while_a_failure_is_counted_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """An update or an operator clears the record between two statements; the failing call is still answered."""
    counted = QuerySet.update

    def then_reset(rows: Any, **changes: Any) -> int:
        found = counted(rows, **changes)
        CircuitBreaker.objects.all().delete()
        return found

    monkeypatch.setattr(QuerySet, "update", then_reset)
    assert breakers.record("alpha", "trap", "boom", breaker=None, now=timezone.now()) is None
    assert not CircuitBreaker.objects.exists()


def test_saying_no_and_our_own_faults_open_no_breaker(scripted: ScriptedAdapter) -> None:
    """A rejection, a refused capability, a busy host and a host error are not the plugin's traps."""
    serve("alpha", hooks=["content:afterSave"])
    for status in ("rejected", "capability_denied", "busy", "host_error", "unreachable") * 2:
        scripted.on_call = says(alpha=CallOutcome(status=status))
        hooks.fire("content:afterSave", PAGE)
    assert not CircuitBreaker.objects.exists()


def test_a_good_call_between_failures_starts_the_count_anew(scripted: ScriptedAdapter) -> None:
    """Only failures in a row count."""
    serve("alpha", hooks=["content:afterSave"])
    for status in ["trap"] * 4 + ["ok"] + ["trap"] * 4:
        scripted.on_call = says(alpha=CallOutcome(status=status))
        hooks.fire("content:afterSave", PAGE)
    assert not CircuitBreaker.objects.get(plugin="alpha").is_open


def test_a_reset_lets_the_plugin_be_called_at_once(scripted: ScriptedAdapter) -> None:
    """An operator closes a breaker by hand."""
    serve("alpha", hooks=["content:afterSave"])
    scripted.on_call = says(alpha=CallOutcome(status="trap"))
    for _ in range(6):
        hooks.fire("content:afterSave", PAGE)
    assert breakers.reset("alpha", actor="user:a")
    scripted.on_call = says()
    assert hooks.fire("content:afterSave", PAGE).outcomes[0].status == "ok"


def test_plugins_that_set_each_other_off_are_cut_short(scripted: ScriptedAdapter) -> None:
    """A hook fired from within a call is one deeper; past the depth it is refused."""
    serve("alpha", hooks=["content:afterSave"])
    depths = []

    def again(entry: ActiveEntry, call: Call) -> CallOutcome:
        depths.append(call.depth)
        hooks.fire("content:afterSave", PAGE)
        return CallOutcome(status="ok")

    scripted.on_call = again
    with pytest.raises(HookLoop):
        hooks.fire("content:afterSave", PAGE)
    assert depths == list(range(chain.MAX_DEPTH + 1))


def test_the_same_event_gives_the_same_invocation_ids(scripted: ScriptedAdapter) -> None:
    """An event that is fired again draws the same ids, so that a ledger can tell it was done."""
    serve("alpha", hooks=["content:afterSave"])
    moment = timezone.now()
    for _ in range(2):
        hooks.fire("content:afterSave", PAGE, event_id="evt_1", event_at=moment)
    assert len({call.id for _, call in scripted.calls}) == 1
