"""What becomes of the npm tenant's runs when a part dies, is slow, or is set up wrongly."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests import server
from tests.runs import tenants
from tests.runs.npm import House, opened

pytestmark = pytest.mark.node


def test_a_tenant_that_is_down_for_a_while(tmp_path: Path) -> None:
    """A run triggered while the tenant is gone stays running with a retry, and completes when the tenant is back."""
    port = server.free_port()
    variables = {"ZELAVIS_RUNS_TENANT_URL": f"http://127.0.0.1:{port}", "ZELAVIS_RUNS_TENANT_SECRET": tenants.SECRET}
    with server.running(tmp_path / "data", **variables) as zelavis:
        answer = zelavis.api.post("/api/runs", json={"workflowId": "plain", "input": {"x": 1}, "runId": "patient"})
        assert answer.json()["status"] == "running"
        why = zelavis.api.get("/api/runs/patient/why").json()
        with tenants.running(tmp_path / "ran.jsonl", port=port) as tenant:
            house = House(zelavis, tenant)
            record = house.ended("patient", seconds=20)
            assert record["output"]["total"] == 104
            assert tenant.ran("patient") == {"a": 1, "b": 1, "c": 1}
        assert why


def test_a_server_that_is_killed(tmp_path: Path) -> None:
    """Killed in the middle of a run and started again it goes on: what was journaled is not run again."""
    with tenants.running(tmp_path / "ran.jsonl") as tenant:
        variables = {
            "ZELAVIS_RUNS_TENANT_URL": tenant.url,
            "ZELAVIS_RUNS_TENANT_SECRET": tenants.SECRET,
            "ZELAVIS_RUNS_LEASE_SECONDS": "2",
        }
        with server.running(tmp_path / "data", **variables) as zelavis:
            token = zelavis.token
            house = House(zelavis, tenant)
            house.trigger("twelve", {"ms": 120}, runId="killed")
            server.eventually(lambda: tenant.ran("killed")["step-4"], what="the fourth step")
            before = set(house.record("killed")["journal"]["stepResults"])
            zelavis.kill()
        counted = tenant.ran("killed")
        with server.running(tmp_path / "data", **variables) as zelavis:
            zelavis.api.headers["Authorization"] = f"Bearer {token}"
            record = House(zelavis, tenant).ended("killed", seconds=20)
        assert record["output"] == 12
        after = tenant.ran("killed")
        assert {step: after[step] for step in before} == {step: counted[step] for step in before}
        # A step whose answer was under way when the server died may have run twice; no other.
        assert sorted(after.values())[:11] == [1] * 11
        assert max(after.values()) <= 2


def test_a_slow_step_does_not_hold_the_request(tmp_path: Path) -> None:
    """After the request's time the answer is ``running``; the step goes on undisturbed and runs once."""
    with opened(tmp_path, ZELAVIS_RUNS_REQUEST_SECONDS="0.5") as house:
        began = time.monotonic()
        record = house.trigger("slow", {"ms": 1500})
        assert time.monotonic() - began < 1.4
        assert record["status"] == "running"
        assert house.ended(record["id"])["output"] == "slept"
        assert house.tenant.ran(record["id"]) == {"work": 1, "worked": 1}
        answer = house.api.post(
            "/api/runs",
            json={"workflowId": "slow", "input": {"ms": 300}, "runId": "later"},
            headers={"Prefer": "respond-async"},
        )
        assert (answer.status_code, answer.json()["status"]) == (202, "running")
        assert house.ended("later")["output"] == "slept"


def test_a_wrong_secret(tmp_path: Path) -> None:
    """A tenant that does not know our signature says never, and the run says why."""
    with opened(tmp_path, ZELAVIS_RUNS_TENANT_SECRET="another secret") as house:
        record = house.trigger("echo", 1)
        assert record["status"] == "failed"
        assert record["error"] == {
            "category": "RUNTIME_ERROR",
            "code": "handler_error",
            "message": "x-voyant-dispatch-auth signature does not match request body",
        }


def test_a_slot_that_passed_while_the_server_was_down(tmp_path: Path) -> None:
    """A schedule whose time came while nothing ran is fired once when the server is back."""
    with tenants.running(tmp_path / "ran.jsonl") as tenant:
        variables = {"ZELAVIS_RUNS_TENANT_URL": tenant.url, "ZELAVIS_RUNS_TENANT_SECRET": tenants.SECRET}
        with server.running(tmp_path / "data", **variables) as zelavis:
            token = zelavis.token
            # From when the server is there: how long it takes to start says nothing here.
            at = int(time.time() * 1000) + 3000
            schedules = [{"at": at, "name": "once", "input": "late"}, {"every": "2s", "name": "often", "input": "o"}]
            manifest = {"versionId": "v", "workflows": [{"id": "echo", "schedules": schedules}]}
            body = {"environment": "development", "manifest": manifest}
            assert zelavis.api.post("/api/manifests", json=body).status_code == 200
            zelavis.kill()
            killed = time.time() * 1000
        time.sleep(max(0.0, max(at, killed + 4000) / 1000 - time.time() + 1.0))
        back = time.time() * 1000
        with server.running(tmp_path / "data", **variables) as zelavis:
            zelavis.api.headers["Authorization"] = f"Bearer {token}"
            house = House(zelavis, tenant)
            record = house.ended(f"idem-echo-v:echo:once:{at}")
            assert record["output"] == "late"
            time.sleep(1.0)
            listed = zelavis.api.get("/api/runs", params={"workflowId": "echo"}).json()["runs"]
            slots = sorted(int(run["id"].rsplit(":", 1)[1]) for run in listed if ":often:" in run["id"])
            assert len(slots) == len(set(slots))
            # Of the slots that passed in between, one was made up for; then the rhythm goes on.
            assert all((later - slots[0]) % 2000 == 0 for later in slots)
            assert len([slot for slot in slots if killed < slot < back]) == 1
