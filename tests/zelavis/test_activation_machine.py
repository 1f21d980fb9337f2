"""Any order of intents, answers, crashes, polls and withdrawals ends in a legal state."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from marketplace import rollouts
from marketplace.models import Release, Rollout
from tests.zelavis.plugs import ScriptedAdapter, manifest
from tests.zelavis.releases import approved
from zelavis import activation, adapters, registry
from zelavis.activation import drive, intents, targets
from zelavis.activation.targets import Target
from zelavis.adapters.base import Answer, DeployRefused, Order
from zelavis.errors import ZelavisError
from zelavis.models import Activation, Deployment, PluginEntry, Registry

VERSIONS = ("1.0.0", "2.0.0", "3.0.0")
#: Mostly good ones: what is worth proving begins where something serves.
ANSWERS = st.sampled_from(["active", "active", "active", "active", "pending", "failed", "throws", "dies"])


class Died(BaseException):
    """The process is gone; nothing catches it."""


class Machine(RuleBasedStateMachine):
    """One plugin, several operators, a clock that the rules move, and processes that die."""

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.adapter = ScriptedAdapter()
        self.adapter.on_activate = self._answer
        self.adapter.on_deploy = self._deploy
        adapters.REGISTRY["scripted"] = self.adapter
        self.deploys = self.says = "active"
        self.confirmed: set[str] = set()
        self.late: list[Activation] = []
        self._find, self._refuse = targets.find, targets.refuse_withdrawn
        targets.find = self._target
        self.releases = dict(Release.objects.values_list("version", "pk"))
        Rollout.objects.all().delete()
        for model in (Activation, PluginEntry, Registry):
            if model is PluginEntry:
                PluginEntry.objects.update(
                    serving=None, previous=None, candidate=None, rollout=None, activation_state="inactive"
                )
                Deployment.objects.all().delete()
            model._default_manager.all().delete()
        registry.forget_snapshot()

    def teardown(self) -> None:
        targets.find = self._find
        del adapters.REGISTRY["scripted"]
        registry.forget_snapshot()

    def _target(self, name: str, version: str | None, **_: Any) -> Target:
        return Target(
            name=name, version=version or "1.0.0", specifier=f"marketplace:{name}@{version}", source="community",
            digest=f"{version}", entry_digest="e", kind="javascript", release=self.releases[version or "1.0.0"],
            manifest=manifest(name, version=version or "1.0.0", hooks=["content:afterSave"]),
        )  # fmt: skip

    def _deploy(self, order: Order) -> None:
        match self.deploys:
            case "failed":
                raise DeployRefused
            case "throws":
                raise RuntimeError
            case "dies":
                raise Died

    def _answer(self, order: Order) -> Answer:
        match self.says:
            case "throws":
                raise RuntimeError
            case "dies":
                raise Died
            case "active":
                self.confirmed.add(order.activation)
                return Answer(status="active")
            case "failed":
                return Answer(status="failed", code="no")
            case _:
                return Answer(status="pending", message="soon")

    def _do(self, verb: Any, **given: Any) -> None:
        with contextlib.suppress(ZelavisError, Died):
            verb("alpha", actor="user:a", now=self.now, **given)

    @initialize(installed=st.booleans())
    def begin(self, installed: bool) -> None:
        PluginEntry.objects.create(name="alpha", adapter="scripted")
        if installed:
            self._do(activation.install, version="1.0.0")

    @rule(deploys=ANSWERS, says=ANSWERS)
    def the_world_changes(self, deploys: str, says: str) -> None:
        self.deploys, self.says = deploys, says

    @rule(version=st.sampled_from(VERSIONS))
    def install(self, version: str) -> None:
        self._do(activation.install, version=version)

    @rule(version=st.sampled_from(VERSIONS))
    def update(self, version: str) -> None:
        self._do(activation.update, version=version)

    @rule(version=st.sampled_from(VERSIONS), percent=st.sampled_from([1, 50, 99]))
    def update_in_stages(self, version: str, percent: int) -> None:
        self._do(activation.update, version=version, percent=percent)

    @rule()
    def promote(self) -> None:
        self._do(activation.promote)

    @rule()
    def stages_go_on(self) -> None:
        """The candidate did well for long enough: its share grows, at last to all."""
        Rollout.objects.update(candidate_calls=1000, wake_at=self.now)
        rollouts.advance(now=self.now)

    @rule()
    def stages_halt(self) -> None:
        """The candidate fails its first calls."""
        for row in Rollout.objects.filter(state="running"):
            for _ in range(rollouts.HOPELESS):
                rollouts.count(row.pk, candidate=True, failed=True, now=self.now)

    @rule(blocked=st.sampled_from([False, False, True]))
    def stand(self, blocked: bool) -> None:
        with contextlib.suppress(ZelavisError):
            if blocked:
                registry.block("alpha", actor="user:a", reason="r")
            else:
                registry.unblock("alpha", actor="user:a")

    @rule()
    def rollback(self) -> None:
        self._do(activation.rollback)

    @rule(purge=st.booleans())
    def uninstall(self, purge: bool) -> None:
        self._do(activation.uninstall, purge=purge)

    @rule()
    def again(self) -> None:
        self._do(activation.activate)

    @rule(version=st.sampled_from(VERSIONS))
    def withdraw(self, version: str) -> None:
        activation.stop("alpha", digests={version}, reason="r", actor="system", now=self.now)

    @rule()
    def intent_and_death(self) -> None:
        """The process dies after the intent was recorded and before anything else."""
        real = intents.drive.go

        def die(row: Activation, **_: Any) -> Activation:
            raise Died

        intents.drive.go = die  # type: ignore[assignment]
        try:
            self._do(activation.install, version="2.0.0")
            self._do(activation.update, version="3.0.0")
        finally:
            intents.drive.go = real

    @rule(seconds=st.sampled_from([1, 30, 61, 700]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def sweep(self) -> None:
        for pk in list(Activation.objects.filter(wake_at__lte=self.now).values_list("pk", flat=True)):
            taken = drive.claim(pk, now=self.now)
            if taken is not None:
                with contextlib.suppress(Died):
                    drive.go(taken, clock=lambda: self.now)

    @rule()
    def claim_and_sleep(self) -> None:
        """A process takes an attempt up and is not heard of for a while."""
        for pk in list(Activation.objects.filter(wake_at__lte=self.now).values_list("pk", flat=True)):
            taken = drive.claim(pk, now=self.now)
            if taken is not None:
                self.late.append(taken)

    @precondition(lambda self: self.late)
    @rule()
    def the_late_one_wakes_up(self) -> None:
        taken = self.late.pop()
        with contextlib.suppress(Died):
            drive.go(taken, clock=lambda: self.now)

    @invariant()
    def legal(self) -> None:
        entry = PluginEntry.objects.select_related("serving", "candidate").filter(name="alpha").first()
        if entry is None:
            return
        unfinished = list(Activation.objects.filter(finished_at=None))
        assert len(unfinished) <= 1
        assert all(row.wake_at is not None for row in unfinished)
        assert not Activation.objects.filter(finished_at__isnull=False, wake_at__isnull=False).exists()
        if entry.activation_state == "active":
            assert entry.serving is not None
            assert entry.status == "installed"
        if entry.serving is not None:
            # Never active without proof: somebody said "active" for exactly this deployment.
            assert entry.serving.proven_by in self.confirmed
            proof = Activation.objects.get(pk=entry.serving.proven_by)
            assert (proof.state, proof.deployment_id) == ("active", entry.serving_id)
            assert entry.serving.state == "deployed"
        assert entry.serving_id is None or entry.serving_id != entry.previous_id
        if entry.status == "available":
            assert entry.serving is None
        if not unfinished:
            assert entry.activation_state != "pending"
            assert entry.deployment_state != "deploying"
        serving = registry.active_entry("alpha")
        if entry.blocked:
            # What serves keeps its place, and nobody reaches it.
            assert serving is None
            assert registry.active_for_hook("content:afterSave") == []
        else:
            assert (serving.deployment if serving else None) == entry.serving_id
        self._stages(entry, unfinished)
        answering = {entry.serving_id, entry.candidate_id} - {None}
        assert len(answering) == (entry.serving_id is not None) + (entry.candidate_id is not None)
        if serving is not None:
            staged = serving.staged
            assert {serving.deployment, *([staged.entry.deployment] if staged else [])} == answering

    def _stages(self, entry: PluginEntry, unfinished: list[Activation]) -> None:
        """A second version answers only as the declared candidate of the one attempt at work, and only when proven."""
        rolling = [row for row in unfinished if row.state == "rolling_out"]
        running = set(Rollout.objects.filter(state="running").values_list("pk", flat=True))
        assert running <= {entry.rollout}
        if entry.candidate is None:
            assert (entry.rollout, rolling) == (None, [])
            return
        assert entry.serving is not None
        assert [(row.deployment_id, row.rollout) for row in rolling] == [(entry.candidate_id, entry.rollout)]
        assert entry.candidate.proven_by == rolling[0].pk
        assert entry.candidate.proven_by in self.confirmed
        assert entry.candidate.state == "deployed"


@pytest.fixture
def releases(db: None, tmp_path: Path) -> None:
    """What stages need: a release of the marketplace for each version."""
    for version in VERSIONS:
        approved(tmp_path, name="alpha", version=version)


def test_any_history_is_legal(releases: None) -> None:
    """Anything: one attempt at a time, one version serves, beside it at most a candidate; both proven."""
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.slow
def test_any_long_history_is_legal(releases: None) -> None:
    """The same with far more and longer histories."""
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
