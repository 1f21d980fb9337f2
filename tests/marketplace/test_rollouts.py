"""Updates: cooldown, consent, growing shares, halting."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from marketplace import curation, releases, rollouts
from marketplace.errors import Incompatible, NotApproved, RolloutRefused
from marketplace.models import Rollout, UpdatePolicy
from tests.marketplace import kit

pytestmark = pytest.mark.django_db


def two(**changes: object) -> tuple[object, object]:
    """An approved release and a newer one."""
    _, owner = kit.publisher()
    cora = kit.curator()
    return kit.approved(owner, cora), kit.approved(owner, cora, version="1.1.0", **changes)


def test_h09_nothing_updates_itself_with_more_rights_or_too_early() -> None:
    """H09: by hand unless the policy says otherwise; after the cooldown; never with more than was consented to."""
    old, new = two()
    plugin, now = new.plugin, timezone.now()

    def may(consented: object = None, hours: int = 0) -> tuple[object, str]:
        return rollouts.may_update_itself(
            plugin,
            old,
            consented=old.capabilities if consented is None else consented,
            ownership=1,
            now=now + timedelta(hours=hours),
        )

    assert "by hand" in may()[1]
    UpdatePolicy.objects.create(automatic=True, cooldown_hours=48)
    assert "cools down" in may(hours=47)[1]
    assert may(hours=49)[0] == new
    assert "more than was consented" in may(consented={}, hours=49)[1]
    UpdatePolicy.objects.create(plugin=plugin, automatic=False)
    assert "by hand" in may(hours=49)[1]


def test_h15_cohorts_are_kept_and_nobody_chooses_theirs() -> None:
    """H15: the same subject stays with one release, shares are as wide as they say, other rollouts mix anew."""
    old, new = two()
    rollout = rollouts.start(new.plugin, baseline=old, candidate=new, actor="user:x", reason="Try.", percent=20)
    chosen = [rollouts.choose(rollout, f"page-{n}") for n in range(1000)]
    assert chosen == [rollouts.choose(rollout, f"page-{n}") for n in range(1000)]
    assert 150 < sum(one.pk == new.pk for one in chosen) < 250
    rollout.percent = 40
    wider = [rollouts.choose(rollout, f"page-{n}") for n in range(1000)]
    assert all(after.pk == new.pk for before, after in zip(chosen, wider, strict=True) if before.pk == new.pk)
    with pytest.raises(RolloutRefused):
        rollouts.start(new.plugin, baseline=old, candidate=new, actor="user:x", reason="Twice.")


def test_a_rollout_halts_by_itself() -> None:
    """When the candidate fails more often than the old release by more than the tolerance, every call goes back."""
    old, new = two()
    rollout = rollouts.start(new.plugin, baseline=old, candidate=new, actor="user:x", reason="Try.", percent=50)
    for _ in range(50):
        rollouts.count(rollout.pk, candidate=False, failed=False)
    halted = [rollouts.count(rollout.pk, candidate=True, failed=n % 4 == 0) for n in range(40)]
    assert halted.count(True) == 1
    rollout = Rollout.objects.get()
    assert rollout.state == "halted"
    assert "calls of the new release failed" in rollout.outcome
    assert rollouts.choose(rollout, "any").pk == old.pk


def test_a_rollout_advances_with_time_and_calls() -> None:
    """Stages begin when their time comes and enough calls said something; at the end the candidate serves all."""
    old, new = two()
    now = timezone.now()
    rollout = rollouts.start(
        new.plugin, baseline=old, candidate=new, actor="user:x", reason="Try.", percent=10, now=now
    )
    now += timedelta(hours=7)
    assert rollouts.advance(now=now) == 0
    Rollout.objects.update(candidate_calls=30)
    shares = []
    for _ in range(4):
        now += timedelta(hours=7)
        rollouts.advance(now=now)
        rollout.refresh_from_db()
        shares.append(rollout.percent)
    assert (shares, rollout.state) == ([25, 50, 100, 100], "completed")
    assert rollouts.choose(rollout, "any").pk == new.pk


def test_only_what_can_be_installed_rolls_out() -> None:
    """A candidate that is not approved is refused; a cancelled rollout gives every call back."""
    old, new = two()
    waiting = kit.submitted(kit.actor(new.submitted_by), version="2.0.0")
    with pytest.raises(NotApproved):
        rollouts.start(new.plugin, baseline=old, candidate=waiting, actor="user:x", reason="Try.")
    rollout = rollouts.start(new.plugin, baseline=old, candidate=new, actor="user:x", reason="Try.")
    assert rollouts.cancel(rollout, actor="user:x", reason="No.")
    rollout.refresh_from_db()
    assert rollouts.choose(rollout, "any").pk == old.pk


def test_shadow_replay_is_judged_by_the_policy() -> None:
    """Too few tapes say nothing; more differences than tolerated say no."""
    policy = UpdatePolicy(shadow_tapes=10, shadow_tolerance=10)
    assert rollouts.shadow_verdict(9, 0, policy) == "inconclusive"
    assert rollouts.shadow_verdict(20, 2, policy) == "pass"
    assert rollouts.shadow_verdict(20, 3, policy) == "fail"
    assert rollouts.shadow_verdict(0, 0, UpdatePolicy()) == "pass"


def test_the_newest_compatible_release_is_chosen() -> None:
    """The resolver takes the newest release that works with the host; a pre-release only when nothing else is there."""
    _, owner = kit.publisher()
    cora = kit.curator()
    beta = kit.approved(owner, cora, version="0.9.0-beta.1")
    assert releases.installable("save-count").pk == beta.pk
    old = kit.approved(owner, cora, version="1.9.0")
    kit.approved(owner, cora, version="1.10.0", compatibility={"zelavis": ">=7"})
    kit.approved(owner, cora, version="1.10.1-rc.1")
    assert releases.installable("save-count").pk == old.pk
    assert releases.installable("save-count", host="7.1.0").version == "1.10.0"
    with pytest.raises(Incompatible):
        releases.installable("save-count", "1.10.0")
    curation.act(old, "yank", actor=cora, reason="x")
    assert releases.installable("save-count").version == "1.10.1-rc.1"
