"""Registering manifests, by verb and over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runs.manifests import registering
from runs.models import EventFilter, Manifest, Schedule
from zelavis import tokens
from zelavis.models import AuditEvent

pytestmark = pytest.mark.django_db
HOUR = 3_600_000
NOW = 1_800_000_000_000


def manifest(version: str = "v1", *, filters: Any = (), **schedules: Any) -> dict[str, Any]:
    """A manifest whose workflows are the names of ``schedules``, each with its list."""
    return {
        "schemaVersion": 1,
        "versionId": version,
        "workflows": [{"id": name, "schedules": listed} for name, listed in schedules.items()],
        "eventFilters": list(filters),
    }


def register(document: dict[str, Any], **options: Any) -> Manifest:
    options = {"environment": "production", "actor": "test", "now": NOW} | options
    return registering.register(document, **options)


def state() -> dict[str, int | None]:
    return {f"{row.workflow_id} {row.label}": row.next_at for row in Schedule.objects.all()}


def test_the_newest_is_in_force() -> None:
    """A registered manifest becomes current with its filters; the one before is kept, without filters."""
    entry = {"id": "f", "eventType": "e", "targetWorkflowId": "w"}
    register(manifest("v1", filters=[entry]))
    register(manifest("v2", filters=[entry, entry | {"id": "g"}]))
    current = registering.current("production")
    assert current is not None
    assert current.version_id == "v2"
    assert list(EventFilter.objects.values_list("manifest__version_id", "filter_id")) == [("v2", "f"), ("v2", "g")]
    assert Manifest.objects.count() == 2
    assert registering.current("preview") is None


def test_going_back_to_an_earlier_version() -> None:
    """Registering an earlier version makes it current again."""
    for version in ("v1", "v2", "v1"):
        register(manifest(version))
    assert list(Manifest.objects.filter(current=True).values_list("version_id", flat=True)) == ["v1"]


def test_the_same_again_changes_nothing() -> None:
    """Each start of an application registers its manifest; only the first time changes and audits anything."""
    document = manifest("v1", w=[{"every": "1h"}])
    register(document)
    before = state()
    register(document, now=NOW + 5 * HOUR)
    assert state() == before
    assert AuditEvent.objects.filter(action="manifest.register").count() == 1


def test_a_version_may_be_overwritten() -> None:
    """The same version with another body replaces it."""
    register(manifest("v1", w=[{"every": "1h"}]))
    register(manifest("v1", w=[{"every": "2h"}]))
    assert state() == {"w 0": NOW + 2 * HOUR}


def test_a_schedule_goes_on_over_versions() -> None:
    """A new version does not start an interval anew, nor repeat a moment that was fired; changed declarations start."""
    kept, at = {"every": "1h", "name": "kept"}, {"at": (NOW + HOUR) // 1, "name": "at"}
    register(manifest("v1", w=[kept, {"every": "1h"}, at], gone=[kept]))
    Schedule.objects.filter(label="at").update(next_at=None, last_fire_at=NOW + HOUR)
    register(manifest("v2", w=[kept, {"every": "3h"}, at]), now=NOW + 30_000)
    assert state() == {"w kept": NOW + HOUR, "w 1": NOW + 30_000 + 3 * HOUR, "w at": None}
    assert {row.schedule_id for row in Schedule.objects.all()} == {"v2:w:kept", "v2:w:1", "v2:w:at"}


def test_a_pause_survives_a_new_version() -> None:
    """What an operator paused stays paused."""
    register(manifest("v1", w=[{"every": "1h"}]))
    Schedule.objects.update(paused=True)
    register(manifest("v2", w=[{"every": "2h"}]))
    assert Schedule.objects.get().paused


def test_disabled_and_foreign_schedules_do_not_come() -> None:
    """A schedule that is disabled, or for other environments, is known and never due; why is told."""
    register(manifest(w=[{"every": "1h", "enabled": False}, {"every": "1h", "environments": ["preview"]}]))
    told = list(Schedule.objects.values_list("enabled", "disabled_reason", "next_at"))
    assert told == [(False, "registration_disabled", None), (False, "env_filtered", None)]


def test_enabling_starts_it() -> None:
    """A schedule that was disabled comes when a later version enables it."""
    register(manifest("v1", w=[{"every": "1h", "enabled": False}]))
    register(manifest("v2", w=[{"every": "1h", "enabled": True}]), now=NOW + 5)
    assert state() == {"w 0": NOW + 5 + HOUR}


def test_a_past_moment_never_comes() -> None:
    """``at`` in the past is kept without a next slot."""
    register(manifest(w=[{"at": "2000-01-01T00:00:00Z"}]))
    assert state() == {"w 0": None}


def test_faults_are_named_and_the_rest_works() -> None:
    """What cannot be used is a warning, as the seed takes any manifest; the other parts are in force."""
    document = manifest(
        filters=[{"id": "f"}, 5, {"id": "ok", "eventType": "e", "targetWorkflowId": "w"}],
        w=[{"cron": "61 * * * *"}, {"every": "1h"}, {"every": "1h", "name": "1"}, "often"],
        never=[{"cron": "0 0 30 2 *"}],
    )
    made = register(document)
    warnings = json.loads(made.warnings)
    assert [text.split(":")[0] for text in warnings] == ["eventFilters[0]", "eventFilters[1]", "w", "w", "w", "never"]
    assert 'cron minute out of range [0..59] in "61"' in warnings[2]
    assert EventFilter.objects.get().filter_id == "ok"
    assert state() == {"w 0": None, "w 1": NOW + HOUR, "w 3": None, "never 0": None}
    assert Schedule.objects.get(label="0", workflow_id="w").last_error


@pytest.mark.parametrize("document", [{"versionId": "v", "workflows": 5, "eventFilters": "x"}, {"versionId": "v"}])
def test_a_manifest_may_be_odd(document: dict[str, Any]) -> None:
    """Nothing but ``versionId`` is required."""
    assert register(document).version_id == "v"


def test_over_http(api: Any) -> None:
    """The routes answer with the seed's bodies, key order of the manifest kept."""
    document = {"versionId": "v9", "zebra": 1, "apple": {"b": 1, "a": 2}}
    answer = api.post("/api/manifests", {"environment": "preview", "manifest": document}, format="json")
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "versionId": "v9"})
    answer = api.get("/api/manifests/preview")
    assert answer.content == (
        b'{"environment":"preview","versionId":"v9","manifest":{"versionId":"v9","zebra":1,"apple":{"b":1,"a":2}}}'
    )
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert api.get("/api/schedules/preview").json() == {"environment": "preview", "versionId": "v9", "data": []}


@pytest.mark.parametrize("path", ["manifests", "schedules"])
def test_what_is_not_there(api: Any, path: str) -> None:
    """An unknown environment is 400, one without a manifest 404 that names it, other verbs are no routes."""
    answer = api.get(f"/api/{path}/staging")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_environment")
    assert answer.json()["message"] == "environment must be one of production, preview, development"
    answer = api.get(f"/api/{path}/production")
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert answer.json()["environment"] == "production"
    answer = api.delete(f"/api/{path}/production")
    assert (answer.status_code, answer.json()["error"]) == (404, "route_not_found")
    assert answer.json()["path"] == f"/api/{path}/production"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (5, "expected JSON object"),
        (None, "expected JSON object"),
        ([], '"environment" must be one of production, preview, development'),
        ({}, '"environment" must be one of production, preview, development'),
        ({"environment": "staging", "manifest": {}}, '"environment" must be one of production, preview, development'),
        ({"environment": "preview"}, '"manifest" must be an object'),
        ({"environment": "preview", "manifest": "x"}, '"manifest" must be an object'),
        ({"environment": "preview", "manifest": []}, '"manifest.versionId" must be a non-empty string'),
        ({"environment": "preview", "manifest": {}}, '"manifest.versionId" must be a non-empty string'),
        ({"environment": "preview", "manifest": {"versionId": ""}}, '"manifest.versionId" must be a non-empty string'),
        (
            {"environment": "preview", "manifest": {"versionId": "v" * 201}},
            '"manifest.versionId" must have at most 200 characters',
        ),
    ],
)
def test_bodies_that_are_none(api: Any, body: Any, message: str) -> None:
    """A wrong body is 400 ``invalid_body`` with the seed's message, and changes nothing."""
    answer = api.post("/api/manifests", json.dumps(body), content_type="application/json")
    assert (answer.status_code, answer.json()["error"], answer.json()["message"]) == (400, "invalid_body", message)
    assert not Manifest.objects.exists()


def test_broken_json(api: Any) -> None:
    """A body that is not JSON is 400 ``invalid_json``, the empty one too."""
    for raw in ("", "{", "nope"):
        answer = api.post("/api/manifests", raw, content_type="application/json")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_json")


def test_a_browser_may_ask_first(client: Any) -> None:
    """OPTIONS is answered before authentication."""
    for path in ("/api/manifests", "/api/manifests/preview", "/api/events", "/api/schedules/preview"):
        answer = client.options(path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-methods"] == "GET,POST,OPTIONS"


def test_without_a_token(client: Any) -> None:
    """Every route needs a token."""
    answer = client.get("/api/manifests/preview")
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert answer.json()["message"] == "missing Authorization header"


def test_tenants_do_not_see_each_other(client: Any) -> None:
    """A token of a tenant registers and reads that tenant's manifest alone."""
    secrets = {tenant: tokens.create(tenant or "all", ["*"], tenant=tenant)[1] for tenant in ("", "acme", "other")}
    for tenant, secret in secrets.items():
        body = {"environment": "preview", "manifest": {"versionId": f"of-{tenant}"}}
        header = {"authorization": f"Bearer {secret}"}
        assert client.post("/api/manifests", body, "application/json", headers=header).status_code == 200
    for tenant, secret in secrets.items():
        answer = client.get("/api/manifests/preview", headers={"authorization": f"Bearer {secret}"})
        assert answer.json()["versionId"] == f"of-{tenant}"
