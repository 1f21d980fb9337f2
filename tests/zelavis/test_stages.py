"""Updates that reach their users in stages, and the rehearsal before: through HTTP, with real plugins and tapes."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from marketplace import curation, rollouts
from marketplace.actors import Actor
from marketplace.models import Release, Rollout, UpdatePolicy
from sandbox.capabilities.models import Tape
from tests.server import ROOT, environment, eventually, running
from tests.zelavis.plugs import serve
from tests.zelavis.releases import MODULE, approved
from tests.zelavis.test_kill_switch import second_web
from zelavis import activation, registry
from zelavis.activation import automatic, stages
from zelavis.errors import InvalidRequest
from zelavis.models import Activation, CircuitBreaker

pytestmark = pytest.mark.django_db
PAGE = {"collection": "x.y", "id": "1", "created": True, "content": {"id": "1", "title": "t"}}
#: A new version that works until it is called for what it is there for.
BROKEN = MODULE.replace('const saves = await ctx.kv.increment("saves");', 'throw new Error("not today");')
#: A new version that does its work as the old one, and says something else.
OTHER = MODULE.replace("version: ctx.plugin.version, saves", "version: ctx.plugin.version, saves, more: true")


@pytest.fixture
def installed(api: APIClient, tmp_path: Path) -> APIClient:
    """Version 1.0.0 serves."""
    approved(tmp_path)
    assert api.post("/api/plugins/counter/install", {}, format="json").status_code == 200
    return api


def update(api: APIClient, **body: Any) -> Any:
    return api.post("/api/plugins/counter/update", body, format="json")


def fire(api: APIClient, times: int) -> list[tuple[str, str]]:
    """Version and end of so many calls."""
    told = []
    for _ in range(times):
        [outcome] = api.post("/api/hooks/content:afterSave", {"event": PAGE}, format="json").json()["outcomes"]
        told.append((outcome["version"], outcome["status"]))
    return told


def attempt(api: APIClient) -> Any:
    """The newest attempt with its timeline."""
    newest = api.get("/api/plugins/counter/activations").json()["data"][0]
    return api.get(f"/api/activations/{newest['id']}").json()


def steps(told: Any) -> list[str]:
    return [event["step"] for event in told["events"]]


def test_a_share_of_the_calls_goes_to_the_new_version_until_all_do(installed: APIClient, tmp_path: Path) -> None:
    """202 with the candidate beside what serves; each stage brings more calls; at the end it serves alone."""
    approved(tmp_path, version="1.1.0")
    answer = update(installed, percent=40, reason="carefully")
    assert answer.status_code == 202, answer.json()
    told = answer.json()
    assert (told["plugin"]["version"], told["plugin"]["candidate"]["version"]) == ("1.0.0", "1.1.0")
    assert (told["activation"]["state"], told["activation"]["status"]) == ("rolling_out", "pending")
    ends = fire(installed, 60)
    share = [version for version, _ in ends].count("1.1.0")
    assert 10 <= share <= 40
    seen = installed.get("/api/plugins/counter").json()["stages"]
    assert (seen["state"], seen["percent"], seen["toCalls"], seen["toFailures"]) == ("running", 40, share, 0)
    assert seen["fromCalls"] == 60 - share
    now = timezone.now()
    for _ in range(3):
        Rollout.objects.update(candidate_calls=100)
        now += timedelta(hours=7)
        rollouts.advance(now=now)
        activation.sweep(now=now)
    told = attempt(installed)
    assert (told["state"], told["stages"]["state"]) == ("active", "completed")
    assert steps(told).count("share") == 3
    entry = installed.get("/api/plugins/counter").json()
    assert (entry["version"], entry["previous"]["version"], entry["candidate"], entry["stages"]) == (
        "1.1.0", "1.0.0", None, None,
    )  # fmt: skip
    assert set(fire(installed, 5)) == {("1.1.0", "ok")}


def test_who_has_a_tag_of_a_staged_update_sees_it_go_on(installed: APIClient, tmp_path: Path) -> None:
    """Calls and shares move without a revision, so If-None-Match is no 304 while stages run; afterwards it is again."""
    approved(tmp_path, version="1.1.0")
    update(installed, percent=50)
    for path in ("/api/plugins/counter", "/api/plugins"):
        tag = installed.get(path)["ETag"]
        fire(installed, 4)
        seen = installed.get(path, HTTP_IF_NONE_MATCH=tag)
        assert (seen.status_code, seen["ETag"]) == (200, tag)
    installed.post("/api/plugins/counter/rollback", {}, format="json")
    for path in ("/api/plugins/counter", "/api/plugins"):
        tag = installed.get(path)["ETag"]
        assert installed.get(path, HTTP_IF_NONE_MATCH=tag).status_code == 304


def test_a_new_version_that_fails_is_halted_by_itself(installed: APIClient, tmp_path: Path) -> None:
    """Its failures end the stages within calls, the old version answers the very next one, its breaker is untouched."""
    approved(tmp_path, version="1.1.0", module=BROKEN)
    assert update(installed, percent=50).status_code == 202
    ends: list[tuple[str, str]] = []
    for _ in range(100):
        ends += fire(installed, 1)
        if Rollout.objects.get().state == "halted":
            break
    failed = [end for version, end in ends if version == "1.1.0"]
    assert failed == ["trap"] * rollouts.HOPELESS
    # Before anybody here has drawn the conclusion:
    assert set(fire(installed, 20)) == {("1.0.0", "ok")}
    # In a test nothing commits, so the bell of the halt is not rung: the next look finds it.
    activation.sweep(now=timezone.now() + timedelta(minutes=2))
    told = attempt(installed)
    assert (told["state"], told["code"]) == ("failed", "rollout_halted")
    assert "5 of 5 calls of the new release failed" in told["message"]
    assert "restored" in steps(told)
    entry = installed.get("/api/plugins/counter").json()
    assert (entry["version"], entry["activation"], entry["candidate"]) == ("1.0.0", "active", None)
    assert not CircuitBreaker.objects.exists()
    assert set(fire(installed, 3)) == {("1.0.0", "ok")}


def test_an_operator_ends_the_stages_either_way(installed: APIClient, tmp_path: Path) -> None:
    """Roll back sends every call to what served; promote sends every call to what came."""
    approved(tmp_path, version="1.1.0")
    update(installed, percent=50)
    assert update(installed).json()["error"] == "activation_in_progress"
    back = installed.post("/api/plugins/counter/rollback", {"reason": "no"}, format="json")
    assert back.status_code == 200, back.json()
    assert (back.json()["plugin"]["version"], back.json()["plugin"]["candidate"]) == ("1.0.0", None)
    assert Rollout.objects.get().state == "cancelled"
    assert set(fire(installed, 10)) == {("1.0.0", "ok")}
    update(installed, percent=50)
    ahead = installed.post("/api/plugins/counter/promote", {"reason": "yes"}, format="json")
    assert ahead.status_code == 200, ahead.json()
    assert (ahead.json()["plugin"]["version"], ahead.json()["activation"]["state"]) == ("1.1.0", "active")
    assert set(fire(installed, 10)) == {("1.1.0", "ok")}
    again = installed.post("/api/plugins/counter/promote", {}, format="json")
    assert again.json()["error"] == "plugin_not_installed"


@pytest.mark.parametrize("withdrawn", ["1.0.0", "1.1.0"])
def test_a_release_that_is_withdrawn_during_the_stages_gets_no_call(
    installed: APIClient, tmp_path: Path, withdrawn: str
) -> None:
    """The candidate gone, the old version serves all; what serves gone, nothing does."""
    from django.contrib.auth.models import User

    approved(tmp_path, version="1.1.0")
    update(installed, percent=50)
    eve = User.objects.get(username="eve")
    release = Release.objects.get(version=withdrawn)
    curation.act(release, "quarantine", actor=Actor(name="user:eve", user=eve), reason="bad", digest=release.digest)
    assert Rollout.objects.get().state == "cancelled"
    entry = installed.get("/api/plugins/counter").json()
    assert entry["candidate"] is None
    if withdrawn == "1.1.0":
        assert set(fire(installed, 10)) == {("1.0.0", "ok")}
    else:
        assert (entry["version"], entry["activation"]) == (None, "inactive")
    assert Activation.objects.get(action="update").state == "superseded"


def test_a_hook_that_only_the_new_version_listens_to_is_its_share_alone(installed: APIClient, tmp_path: Path) -> None:
    """Who is asked depends on the version that the call is for."""
    module = OTHER.replace('"plugin:install"', '"content:afterDelete": async () => "gone", "plugin:install"')
    approved(
        tmp_path, version="1.1.0", module=module,
        hooks=[{"name": "content:afterSave"}, {"name": "content:afterDelete"}],
    )  # fmt: skip
    assert update(installed, percent=50).status_code == 202
    event = {"collection": "x.y", "id": "1"}
    told = [
        installed.post("/api/hooks/content:afterDelete", {"event": event}, format="json").json()["outcomes"]
        for _ in range(20)
    ]
    assert {len(one) for one in told} == {0, 1}
    assert {one[0]["version"] for one in told if one} == {"1.1.0"}


def test_routes_are_calls_too(installed: APIClient, tmp_path: Path) -> None:
    """A request to the plugin's route goes to one of the two versions and is counted."""
    approved(tmp_path, version="1.1.0")
    update(installed, percent=50)
    assert {installed.get("/plugins/counter/stats").status_code for _ in range(10)} == {200}
    row = Rollout.objects.get()
    assert row.baseline_calls + row.candidate_calls == 10


def record(api: APIClient, settings: Any, calls: int) -> None:
    """Calls that leave a tape."""
    settings.SANDBOX_TAPE_SAMPLE = 1.0
    fire(api, calls)
    settings.SANDBOX_TAPE_SAMPLE = 0.0


def test_recorded_calls_are_replayed_before_an_update_serves(
    installed: APIClient, tmp_path: Path, settings: Any
) -> None:
    """The same answers: it serves, with the verdict in the attempt; nothing was stored by the replay."""
    record(installed, settings, 4)
    approved(tmp_path, version="1.1.0", module=MODULE + "\n// tidied\n")
    answer = update(installed, shadowTapes=4)
    assert answer.status_code == 200, answer.json()
    told = answer.json()["activation"]
    assert told["rehearsal"] == {"asked": 4, "verdict": "pass", "replayed": 4, "different": 0}
    assert steps(told).index("rehearsed") < steps(told).index("loaded")
    assert api_saves(installed) == 4


def api_saves(api: APIClient) -> int:
    return int(api.get("/plugins/counter/stats").json()["saves"])


@pytest.mark.parametrize(("module", "verdict"), [(BROKEN, "fail"), (OTHER, "fail"), (OTHER, "inconclusive")])
def test_an_update_that_fails_its_rehearsal_does_not_serve(
    installed: APIClient, tmp_path: Path, settings: Any, module: str, verdict: str
) -> None:
    """What answers differently, or cannot be rehearsed enough, is refused; the version before serves on."""
    record(installed, settings, 3)
    approved(tmp_path, version="1.1.0", module=module)
    answer = update(installed, shadowTapes=3 if verdict == "fail" else 50)
    assert answer.status_code == 422
    told = answer.json()
    assert told["reason"] == f"rehearsal_{verdict}"
    assert told["activation"]["rehearsal"]["verdict"] == verdict
    assert told["activation"]["rehearsal"]["replayed"] == 3
    assert told["plugin"]["version"] == "1.0.0"
    assert set(fire(installed, 2)) == {("1.0.0", "ok")}
    # The operator may do without.
    assert update(installed, shadowTapes=0).status_code == 200


def test_a_policy_rehearses_and_stages_without_anybody(installed: APIClient, tmp_path: Path, settings: Any) -> None:
    """Automatic updates wait for enough tapes, then rehearse, then begin with the policy's share."""
    UpdatePolicy.objects.create(
        plugin=None, automatic=True, cooldown_hours=0, first_percent=10, shadow_tapes=3, shadow_tolerance=0
    )
    approved(tmp_path, version="1.1.0", module=MODULE + "\n// tidied\n")
    later = timezone.now() + timedelta(hours=1)
    assert automatic.sweep(now=later) == []
    record(installed, settings, 3)
    assert Tape.objects.count() == 3
    [row] = automatic.sweep(now=later)
    assert (row.state, row.percent, row.shadow) == ("rolling_out", 10, "pass")
    assert str(registry.get("counter").candidate) == "counter@1.1.0"
    assert automatic.sweep(now=later + timedelta(minutes=11)) == []


def test_a_plugin_that_its_worker_brings_has_no_stages() -> None:
    """A share can only be sent between two releases; asked for otherwise, nothing changes."""
    serve("alpha", adapter="sandbox")
    with pytest.raises(InvalidRequest, match="from one release"):
        stages.refuse_unless_possible(registry.get("alpha").serving, "rel_1")


_PREPARE = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
django.setup()
from pathlib import Path
from django.core.management import call_command
call_command("migrate", verbosity=0)
from tests.zelavis.releases import approved
from tests.zelavis.test_stages import BROKEN
approved(Path(sys.argv[1]))
approved(Path(sys.argv[1]), version="1.1.0", module=BROKEN)
"""


@pytest.mark.chaos
def test_two_web_servers_see_the_share_and_its_halt_at_the_next_call(tmp_path: Path) -> None:
    """Both send a share to the candidate; its failures in both together halt it, and neither calls it once more."""
    data = tmp_path / "data"
    subprocess.run(
        [sys.executable, "-c", _PREPARE, str(tmp_path)], cwd=ROOT, check=True,
        env={**environment(data), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    with running(data) as server, second_web(server, data) as second:
        webs = [server.api, second]
        install = server.api.post("/api/plugins/counter/install", json={"version": "1.0.0"})
        assert install.status_code == 200, install.text

        def told(web: httpx.Client) -> tuple[str, str]:
            [outcome] = web.post("/api/hooks/content:afterSave", json={"event": PAGE}).json()["outcomes"]
            return outcome["version"], outcome["status"]

        assert [told(web) for web in webs] == [("1.0.0", "ok")] * 2
        update = second.post("/api/plugins/counter/update", json={"percent": 50})
        assert update.status_code == 202, update.text
        ends: list[list[tuple[str, str]]] = [[], []]

        def state() -> str:
            return str((webs[0].get("/api/plugins/counter").json()["stages"] or {"state": "halted"})["state"])

        for turn in range(200):
            ends[turn % 2].append(told(webs[turn % 2]))
            if ends[turn % 2][-1] == ("1.1.0", "trap") and state() == "halted":
                break
        failed = [one.count(("1.1.0", "trap")) for one in ends]
        assert sum(failed) == rollouts.HOPELESS
        assert {told(web) for web in webs for _ in range(20)} == {("1.0.0", "ok")}
        # And without anybody asking, the attempt ends and says why.
        eventually(
            lambda: webs[1].get("/api/plugins/counter/activations").json()["data"][0]["state"] == "failed",
            seconds=30, what="the end of the attempt",
        )  # fmt: skip
        entry = webs[1].get("/api/plugins/counter").json()
        assert (entry["version"], entry["activation"], entry["candidate"]) == ("1.0.0", "active", None)
