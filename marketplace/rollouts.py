"""Staged updates: which release a call goes to, when the share grows, and when it ends by itself.

The marketplace decides and counts; the core's hooks ask :func:`choose` before a call and tell :func:`count` after it.
Cohorts are by keyed hash of what the caller is about (a page, a user): the same subject stays with the same release
for the life of a stage, and nobody outside can choose theirs (hostile row H15).
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from marketplace import capabilities, ports, releases, versions
from marketplace.errors import RolloutRefused
from marketplace.models import Plugin, Release, Rollout, RolloutState, UpdatePolicy
from zelavis import audit

#: Shares after the first, in percent.
STAGES = (10, 25, 50, 100)
#: So many calls without a single good one need no more to say that the candidate does not work.
HOPELESS = 5
#: What holds where nobody wrote a policy: no update installs by itself.
_DEFAULT = UpdatePolicy()

CHANGED_HANDS = "the plugin has changed hands; consent to the new owner first"
ASKS_FOR_MORE = "the release asks for more than was consented to"
NOT_SIGNED = "the installed release is signed by its publisher and this one is not"
#: This one goes away by itself; the ones above wait for somebody to look.
COOLS_DOWN = "the release cools down"


def policy(plugin: Plugin) -> UpdatePolicy:
    """The plugin's own policy, else the one for all, else the built-in one."""
    rows = {row.plugin_id: row for row in UpdatePolicy.objects.filter(plugin__in=[plugin]) | _general()}
    return rows.get(plugin.pk) or rows.get(None) or _DEFAULT


def _general() -> Any:
    return UpdatePolicy.objects.filter(plugin=None)


def may_update_itself(
    plugin: Plugin,
    installed: Release,
    *,
    consented: dict[str, Any],
    ownership: int,
    host: str | None = None,
    now: datetime | None = None,
) -> tuple[Release | None, str]:
    """The release that may be installed without anybody asking, and why not when there is none.

    Args:
        consented: the grants that the site consented to.
        ownership: ``Plugin.ownership`` when it did.
    """
    moment, rule = now or timezone.now(), policy(plugin)
    if not rule.automatic:
        return None, "updates of this plugin are made by hand"
    candidate = releases.installable(plugin.name, host=host, now=moment)
    if versions.parse(candidate.version) <= versions.parse(installed.version):
        return None, "nothing newer can be installed"
    if plugin.ownership != ownership:
        return None, CHANGED_HANDS
    ripe = ripe_at(candidate, rule)
    if ripe is None or moment < ripe:
        return None, f"{COOLS_DOWN} until {ripe.isoformat(timespec='seconds') if ripe else 'it is approved'}"
    if capabilities.delta(consented, candidate.capabilities)["escalates"]:
        return None, ASKS_FOR_MORE
    if installed.signed_by_id and not candidate.signed_by_id:
        return None, NOT_SIGNED
    return candidate, ""


def ripe_at(release: Release, rule: UpdatePolicy) -> datetime | None:
    """When a release has cooled down; ``None``: it is not approved."""
    return release.approved_at + timedelta(hours=rule.cooldown_hours) if release.approved_at else None


def start(
    plugin: Plugin,
    *,
    baseline: Release,
    candidate: Release,
    actor: str,
    reason: str,
    percent: int | None = None,
    now: datetime | None = None,
) -> Rollout:
    """Begin to send a share of the calls to the candidate.

    Raises:
        RolloutRefused: one is running, or these two releases make no update.
        ZelavisError: the candidate cannot be installed.
    """
    moment, rule = now or timezone.now(), policy(plugin)
    releases.refuse_unless_offered(candidate, now=moment)
    share = rule.first_percent if percent is None else percent
    if not 0 < share <= 100 or baseline.plugin_id != plugin.pk or candidate.plugin_id != plugin.pk:
        raise RolloutRefused("A rollout needs two releases of the plugin and a share of 1 to 100 percent.")
    stages = [stage for stage in STAGES if stage > share]
    try:
        with transaction.atomic():
            rollout = Rollout.objects.create(
                plugin=plugin,
                baseline=baseline,
                candidate=candidate,
                percent=share,
                stages=",".join(map(str, stages)),
                stage_hours=rule.stage_hours,
                actor=actor,
                reason=reason[:500],
                started_at=moment,
                wake_at=moment + timedelta(hours=rule.stage_hours),
            )
            _record(rollout, "start", actor, reason, ["", f"{share} %"])
    except IntegrityError:
        raise RolloutRefused(f"A rollout of {plugin.name} is running.") from None
    return rollout


def running(name: str) -> Rollout | None:
    """The running rollout of a plugin."""
    return (
        Rollout.objects.select_related("plugin", "baseline", "candidate")
        .filter(plugin__name=name, state=RolloutState.RUNNING)
        .first()
    )


def choose(rollout: Rollout, subject: str) -> Release:
    """The release that serves a call about ``subject``. Decided by the rows alone; asks nobody."""
    return rollout.candidate if to_candidate(rollout, subject) else rollout.baseline


def to_candidate(rollout: Rollout, subject: str) -> bool:
    """Whether a call about ``subject`` is the candidate's."""
    if rollout.state != RolloutState.RUNNING:
        return rollout.state == RolloutState.COMPLETED
    mac = hmac.new(settings.SECRET_KEY.encode(), f"rollout:{rollout.pk}:{subject}".encode(), hashlib.sha256)
    return int.from_bytes(mac.digest()[:4], "big") % 100 < rollout.percent


def count(rollout_id: int, *, candidate: bool, failed: bool, now: datetime | None = None) -> bool:
    """Count a call, and halt when the candidate fails too often; answers whether it halted just now."""
    side = "candidate" if candidate else "baseline"
    changes: dict[str, Any] = {f"{side}_calls": F(f"{side}_calls") + 1}
    if failed:
        changes[f"{side}_failures"] = F(f"{side}_failures") + 1
    Rollout.objects.filter(pk=rollout_id).update(**changes)
    if not (candidate and failed):
        return False
    rollout = Rollout.objects.get(pk=rollout_id)
    excess = _excess(rollout)
    if excess is None or excess <= rollout.tolerance:
        return False
    text = (
        f"{rollout.candidate_failures} of {rollout.candidate_calls} calls of the new release failed, "
        f"{rollout.baseline_failures} of {rollout.baseline_calls} of the old one."
    )
    return _end(rollout, RolloutState.HALTED, text, actor="system", now=now or timezone.now())


def _excess(rollout: Rollout) -> float | None:
    """Percentage points by which the candidate fails more often; ``None``: too few calls to say."""
    hopeless = rollout.candidate_calls == rollout.candidate_failures >= HOPELESS
    if rollout.candidate_calls < rollout.minimum_calls and not hopeless:
        return None
    old = 100 * rollout.baseline_failures / rollout.baseline_calls if rollout.baseline_calls else 0.0
    return 100 * rollout.candidate_failures / rollout.candidate_calls - old


def advance(*, now: datetime | None = None) -> int:
    """Begin the next stage of each rollout whose time has come; answers how many moved. Run by beat."""
    moment, moved = now or timezone.now(), 0
    for rollout in Rollout.objects.filter(state=RolloutState.RUNNING, wake_at__lte=moment)[:100]:
        stages = [int(stage) for stage in rollout.stages.split(",") if stage]
        if rollout.percent >= 100:
            moved += _end(rollout, RolloutState.COMPLETED, "Every stage went well.", actor="system", now=moment)
            continue
        if rollout.candidate_calls < rollout.minimum_calls:
            # Nothing is known yet: wait as long again.
            Rollout.objects.filter(pk=rollout.pk, wake_at=rollout.wake_at).update(
                wake_at=moment + timedelta(hours=rollout.stage_hours)
            )
            continue
        share = stages[0] if stages else 100
        with transaction.atomic():
            changed = Rollout.objects.filter(pk=rollout.pk, state=RolloutState.RUNNING, percent=rollout.percent).update(
                percent=share,
                stages=",".join(map(str, stages[1:])),
                wake_at=moment + timedelta(hours=rollout.stage_hours),
            )
            if changed:
                _record(rollout, "advance", "system", "", [f"{rollout.percent} %", f"{share} %"])
                ports.tell_rollout(rollout.pk)
        moved += changed
    return moved


def cancel(rollout: Rollout, *, actor: str, reason: str, now: datetime | None = None) -> bool:
    """End a rollout by hand: every call goes to the old release. Answers whether it was running."""
    return _end(rollout, RolloutState.CANCELLED, reason, actor=actor, now=now or timezone.now())


def complete(rollout: Rollout, *, actor: str, reason: str, now: datetime | None = None) -> bool:
    """End a rollout by hand: every call goes to the candidate. Answers whether it was running."""
    return _end(rollout, RolloutState.COMPLETED, reason, actor=actor, now=now or timezone.now())


def _end(rollout: Rollout, state: str, text: str, *, actor: str, now: datetime) -> bool:
    with transaction.atomic():
        changed = Rollout.objects.filter(pk=rollout.pk, state=RolloutState.RUNNING).update(
            state=state, outcome=text[:500], ended_at=now, wake_at=None
        )
        if changed:
            _record(rollout, state, actor, text, ["running", state])
            ports.tell_rollout(rollout.pk)
    return bool(changed)


def _record(rollout: Rollout, verb: str, actor: str, reason: str, change: list[str]) -> None:
    audit.record(
        f"rollout.{verb}",
        target=f"plugin:{rollout.plugin.name}",
        actor=actor,
        reason=reason,
        changes={"share": change, "candidate": [rollout.baseline.version, rollout.candidate.version]},
    )


def shadow_verdict(total: int, different: int, rule: UpdatePolicy) -> str:
    """What replaying recorded calls against an update says: ``pass``, ``fail`` or ``inconclusive`` (too few tapes)."""
    if rule.shadow_tapes == 0:
        return "pass"
    if total < rule.shadow_tapes:
        return "inconclusive"
    return "pass" if 100 * different <= rule.shadow_tolerance * total else "fail"
