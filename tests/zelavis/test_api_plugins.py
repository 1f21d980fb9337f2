"""The registry, activations and hooks over HTTP, with the real marketplace and the real sandbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zelavis.plugs import ScriptedAdapter, serve
from tests.zelavis.releases import MODULE, approved
from zelavis import tokens
from zelavis.adapters.base import Answer, CallOutcome
from zelavis.models import Activation, IdempotencyKey, PluginEntry

pytestmark = pytest.mark.django_db
PAGE = {"collection": "x.y", "id": "1", "created": True, "content": {"id": "1", "title": "t"}}
HTTP = {"http": {"reason": "Calls out.", "hosts": ["api.example.com"], "callsPerInvocation": 2, "callsPerHour": 10}}


def with_scopes(*scopes: str) -> APIClient:
    _, secret = tokens.create("narrow", list(scopes))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def test_a_plugin_is_installed_used_updated_rolled_back_and_uninstalled(api: APIClient, tmp_path: Path) -> None:
    """The whole life of a plugin through the API, each answer with the entry and the attempt."""
    approved(tmp_path)
    answer = api.post("/api/plugins/counter/install", {}, format="json")
    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert body["activation"]["status"] == "active"
    assert body["plugin"]["version"] == "1.0.0"
    assert answer["Location"] == f"/api/activations/{body['activation']['id']}"
    assert [event["step"] for event in body["activation"]["events"]][-1] == "active"
    fired = api.post("/api/hooks/content:afterSave", {"event": PAGE}, format="json").json()
    assert fired["outcomes"][0]["result"] == {"version": "1.0.0", "saves": 1}
    approved(tmp_path, version="1.1.0")
    answer = api.post("/api/plugins/counter/update", {}, format="json").json()
    assert (answer["plugin"]["version"], answer["plugin"]["previous"]["version"]) == ("1.1.0", "1.0.0")
    answer = api.post("/api/plugins/counter/rollback", {"reason": "slow"}, format="json").json()
    assert answer["plugin"]["version"] == "1.0.0"
    fired = api.post("/api/hooks/content:afterSave", {"event": PAGE}, format="json").json()
    assert fired["outcomes"][0]["result"] == {"version": "1.0.0", "saves": 2}
    answer = api.post("/api/plugins/counter/uninstall", {"purge": True}, format="json").json()
    assert answer["activation"]["status"] == "inactive"
    assert answer["plugin"]["status"] == "available"
    assert api.post("/api/hooks/content:afterSave", {"event": PAGE}, format="json").json()["outcomes"] == []
    api.post("/api/plugins/counter/install", {}, format="json")
    fired = api.post("/api/hooks/content:afterSave", {"event": PAGE}, format="json").json()
    assert fired["outcomes"][0]["result"]["saves"] == 1
    actions = [row["action"] for row in api.get("/api/plugins/counter/activations").json()["data"]]
    assert actions == ["install", "uninstall", "rollback", "update", "install"]


def test_lifecycle_handlers_run_once(api: APIClient, tmp_path: Path) -> None:
    """plugin:install at the first install alone, plugin:activate once for each version that comes into service."""
    from sandbox.models import Invocation

    approved(tmp_path)
    api.post("/api/plugins/counter/install", {}, format="json")
    approved(tmp_path, version="1.1.0")
    api.post("/api/plugins/counter/update", {}, format="json")
    hooks = list(Invocation.objects.order_by("created_at").values_list("hook", flat=True))
    assert hooks.count("plugin:install") == 1
    assert hooks.count("plugin:activate") == 2


def test_a_handler_that_throws_keeps_the_version_from_serving(api: APIClient, tmp_path: Path) -> None:
    """422 with the whole attempt; the plugin stays available and does not serve."""
    bad = MODULE.replace('await ctx.kv.increment("activations");', 'throw new Error("no luck");')
    approved(tmp_path, module=bad)
    answer = api.post("/api/plugins/counter/install", {}, format="json")
    assert answer.status_code == 422
    body = answer.json()
    assert (body["error"], body["reason"]) == ("activation_failed", "lifecycle_failed")
    assert "no luck" in body["message"]
    assert body["plugin"]["activation"] == "failed"
    assert body["activation"]["events"][-1]["trap"] == "trap"


def test_code_without_what_its_manifest_says_is_not_activated(api: APIClient, tmp_path: Path) -> None:
    """A hook or a route that is declared and not there is found before anything serves."""
    approved(tmp_path, module="export default { hooks: {}, routes: {} };")
    body = api.post("/api/plugins/counter/install", {}, format="json").json()
    assert body["reason"] == "manifest_mismatch"
    assert "hook content:afterSave" in body["message"]
    assert "route GET /stats" in body["message"]


def test_high_risk_needs_consent_in_so_many_words(api: APIClient, tmp_path: Path) -> None:
    """409 says what is asked and which digest to give; another digest is refused, the right one goes."""
    wide = {"http": {**HTTP["http"], "hosts": ["*.example.com"]}}
    approved(tmp_path, capabilities=wide)
    answer = api.post("/api/plugins/counter/install", {}, format="json")
    assert answer.status_code == 409
    body = answer.json()
    assert body["error"] == "consent_required"
    assert body["capabilities"] == wide
    wrong = api.post("/api/plugins/counter/install", {"consent": "0" * 64}, format="json")
    assert (wrong.status_code, wrong.json()["error"]) == (409, "consent_outdated")
    assert not PluginEntry.objects.exists()
    right = api.post("/api/plugins/counter/install", {"consent": body["consent"]}, format="json")
    assert right.json()["activation"]["status"] in ("active", "failed")


def test_a_new_entry_that_cannot_be_installed_is_not_there_when_the_request_comes_again(
    api: APIClient, tmp_path: Path
) -> None:
    """Registered and installed in one request: a refusal leaves no entry, and the same request with consent goes."""
    wide = {"http": {**HTTP["http"], "hosts": ["*.example.com"]}}
    approved(tmp_path, capabilities=wide)
    asked = {"name": "counter", "status": "installed"}
    refused = api.post("/api/plugins", asked, format="json")
    assert (refused.status_code, refused.json()["error"]) == (409, "consent_required")
    assert not PluginEntry.objects.exists()
    assert api.post("/api/plugins", {**asked, "name": "nobody"}, format="json").status_code == 404
    assert not PluginEntry.objects.exists()
    again = api.post("/api/plugins", {**asked, "consent": refused.json()["consent"]}, format="json")
    assert again.json()["activation"]["status"] in ("active", "failed")
    assert PluginEntry.objects.filter(name="counter").exists()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("post", "/api/plugins/nobody/install", {}, 404, "plugin_not_found"),
        ("post", "/api/plugins/nobody/update", {}, 404, "unknown_plugin"),
        ("get", "/api/plugins/nobody", None, 404, "unknown_plugin"),
        ("get", "/api/plugins/nobody/activations", None, 404, "unknown_plugin"),
        ("get", "/api/activations/act_none", None, 404, "not_found"),
        ("post", "/api/activations/act_none/retry", {}, 404, "unknown_plugin"),
        ("post", "/api/plugins", {"name": "../b"}, 400, "invalid_body"),
        ("post", "/api/plugins", {"name": "a%00b"}, 400, "invalid_body"),
        ("post", "/api/plugins", {"name": "alpha", "status": "half"}, 400, "invalid_body"),
        ("post", "/api/plugins", {"name": "alpha", "order": -1}, 400, "invalid_body"),
        ("post", "/api/plugins", {"name": "alpha", "order": 1.5}, 400, "invalid_body"),
        ("post", "/api/plugins", {"name": "alpha", "source": "mine"}, 400, "invalid_body"),
        ("post", "/api/plugins", {"name": "alpha", "surprise": 1}, 400, "invalid_body"),
        ("post", "/api/plugins", {"name": "alpha", "adapter": "nothing"}, 422, "unknown_adapter"),
        ("post", "/api/plugins", {"name": "alpha", "adapter": "dispatch"}, 400, "invalid_request"),
        ("post", "/api/plugins", {"name": "alpha", "adapter": "dispatch", "worker": "a/b"}, 404, "worker_not_found"),
        ("post", "/api/plugins", [], 400, "invalid_body"),
        ("get", "/api/activations?state=maybe", None, 400, "invalid_request"),
        ("get", "/api/activations?surprise=1", None, 400, "invalid_request"),
        ("post", "/api/hooks/cron", {"event": {}}, 400, "hook_not_fireable"),
        ("post", "/api/hooks/plugin:install", {"event": {}}, 400, "hook_not_fireable"),
        ("post", "/api/hooks/nothing", {"event": {}}, 404, "unknown_hook"),
        ("post", "/api/hooks/content:afterSave", {"event": {}}, 400, "invalid_event"),
        ("post", "/api/hooks/content:afterSave", {"event": PAGE, "correlation": "a b"}, 400, "invalid_body"),
    ],
)
def test_bad_requests_are_told_what_is_wrong_and_change_nothing(
    api: APIClient, method: str, path: str, body: Any, status: int, code: str
) -> None:
    """Each with its own code; the registry stays empty."""
    answer = getattr(api, method)(path, body, format="json") if body is not None else api.get(path)
    assert (answer.status_code, answer.json()["error"]) == (status, code), answer.json()
    assert not PluginEntry.objects.exists()
    assert not Activation.objects.exists()


def test_scopes_are_per_method() -> None:
    """Reading does not allow changing, changing does not allow firing, nothing is open."""
    assert APIClient().get("/api/plugins").status_code == 401
    reader = with_scopes("plugins:read")
    assert reader.get("/api/plugins").status_code == 200
    assert reader.post("/api/plugins/x/install", {}, format="json").status_code == 403
    assert reader.get("/api/hooks").status_code == 403
    assert with_scopes("plugins:write").post("/api/hooks/content:afterSave", {}, format="json").status_code == 403


def test_the_seeds_patch_installs_and_uninstalls(api: APIClient, tmp_path: Path) -> None:
    """``status: installed`` and ``status: available`` are verbs, order and source are changes of the entry."""
    approved(tmp_path)
    created = api.post("/api/plugins", {"name": "counter", "order": 3}, format="json")
    assert (created.status_code, created.json()["activation"]) == (201, None)
    answer = api.patch("/api/plugins/counter", {"status": "installed"}, format="json").json()
    assert (answer["plugin"]["status"], answer["activation"]["action"]) == ("installed", "install")
    answer = api.patch("/api/plugins/counter", {"order": None}, format="json").json()
    assert (answer["plugin"]["order"], answer["activation"]) == (None, None)
    answer = api.patch("/api/plugins/counter", {"status": "available"}, format="json").json()
    assert (answer["plugin"]["status"], answer["activation"]["action"]) == ("available", "uninstall")
    assert api.delete("/api/plugins/counter").status_code == 204
    assert api.get("/api/plugins/counter").status_code == 404


def test_settings_are_checked_and_write_only_ones_hidden(api: APIClient, tmp_path: Path) -> None:
    """What the schema refuses is 422; a write-only value is stored and not shown."""
    schema = {
        "type": "object",
        "properties": {"limit": {"type": "integer"}, "key": {"type": "string", "format": "secret"}},
    }
    serve("alpha", adapter="sandbox", settings=schema)
    assert api.patch("/api/plugins/alpha", {"settings": {"limit": "x"}}, format="json").status_code == 422
    answer = api.patch("/api/plugins/alpha", {"settings": {"limit": 2, "key": "hidden!"}}, format="json")
    assert answer.json()["plugin"]["settings"] == {"limit": 2, "key": "********"}
    assert "hidden!" not in answer.content.decode()
    shown = {**answer.json()["plugin"]["settings"], "limit": 3}
    assert api.patch("/api/plugins/alpha", {"settings": shown}, format="json").status_code == 200
    assert json.loads(PluginEntry.objects.get().settings) == {"limit": 3, "key": "hidden!"}


def test_conditional_requests(api: APIClient) -> None:
    """A tag that fits is 304 on reading and lets a change through; an old one is 412 and changes nothing."""
    api.post("/api/plugins", {"name": "alpha"}, format="json")
    tag = api.get("/api/plugins/alpha")["ETag"]
    assert api.get("/api/plugins/alpha", HTTP_IF_NONE_MATCH=tag).status_code == 304
    changed = api.patch("/api/plugins/alpha", {"order": 1}, format="json", HTTP_IF_MATCH=tag)
    assert changed.status_code == 200
    assert changed["ETag"] != tag
    stale = api.patch("/api/plugins/alpha", {"order": 2}, format="json", HTTP_IF_MATCH=tag)
    assert (stale.status_code, stale.json()["error"]) == (412, "precondition_failed")
    assert api.delete("/api/plugins/alpha", HTTP_IF_MATCH='W/"run-1"').status_code == 412
    assert api.get("/api/plugins/alpha").json()["order"] == 1
    listed = api.get("/api/plugins")["ETag"]
    assert api.get("/api/plugins", HTTP_IF_NONE_MATCH=listed).status_code == 304


def test_an_idempotency_key_makes_a_request_happen_once(api: APIClient) -> None:
    """The same request again is answered again; with another body it is 422; refusals keep no key."""
    body = {"name": "alpha"}
    first = api.post("/api/plugins", body, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    again = api.post("/api/plugins", body, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again["Idempotency-Replayed"] == "true"
    assert again["Location"] == first["Location"]
    other = api.post("/api/plugins", {"name": "beta"}, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    assert (other.status_code, other.json()["error"]) == (422, "idempotency_mismatch")
    assert api.post("/api/plugins", body, format="json", HTTP_IDEMPOTENCY_KEY="k2").status_code == 409
    assert not IdempotencyKey.objects.filter(key="k2").exists()
    assert api.post("/api/plugins", body, format="json", HTTP_IDEMPOTENCY_KEY="a b").status_code == 400
    mine = with_scopes("*").post("/api/plugins", {"name": "beta"}, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    assert mine.status_code == 201


def test_a_request_at_work_keeps_its_key(api: APIClient) -> None:
    """While the first request works, a second with its key is told to wait."""
    api.post("/api/plugins", {"name": "alpha"}, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    IdempotencyKey.objects.update(status=None)
    answer = api.post("/api/plugins", {"name": "alpha"}, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    assert (answer.status_code, answer.json()["error"]) == (409, "idempotency_in_progress")
    assert answer["Retry-After"] == "1"


def test_a_failed_attempt_is_kept_under_its_key(api: APIClient, scripted: ScriptedAdapter, tmp_path: Path) -> None:
    """An attempt that was made and failed is not made again by a repeated request."""
    approved(tmp_path)
    scripted.on_activate = lambda order: Answer(status="failed", message="no")
    for _ in range(2):
        answer = api.post(
            "/api/plugins/counter/install", {"adapter": "scripted"}, format="json", HTTP_IDEMPOTENCY_KEY="k"
        )
        assert answer.status_code == 422
        assert answer["Content-Type"] == "application/problem+json"
    assert Activation.objects.count() == 1


def test_a_pending_attempt_is_202_and_can_be_looked_at(
    api: APIClient, scripted: ScriptedAdapter, tmp_path: Path
) -> None:
    """202 with a Location; the attempt tells its next poll."""
    approved(tmp_path)
    scripted.on_activate = lambda order: Answer(status="pending", message="soon", code="worker_pending")
    answer = api.post("/api/plugins/counter/install", {"adapter": "scripted"}, format="json")
    assert answer.status_code == 202
    seen = api.get(answer["Location"]).json()
    assert (seen["status"], seen["state"], seen["message"]) == ("pending", "pending", "soon")
    assert seen["nextPollAt"]
    busy = api.post("/api/plugins/counter/install", {"adapter": "scripted"}, format="json").json()
    assert (busy["error"], busy["activation"]) == ("activation_in_progress", seen["id"])


def test_lists_are_paged_newest_first(api: APIClient, scripted: ScriptedAdapter) -> None:
    """Cursor pages without gaps or doubles."""
    serve("alpha")
    for _ in range(5):
        api.post("/api/plugins/alpha/activate", {}, format="json")
    url, seen = "/api/activations?limit=2&plugin=alpha", []
    while url:
        page = api.get(url).json()
        seen += [row["id"] for row in page["data"]]
        url = page["next"]
    assert seen == list(Activation.objects.order_by("-created_at", "-id").values_list("pk", flat=True))
    assert len(seen) == 5


def test_adapters_tell_what_they_can_do(api: APIClient) -> None:
    """Declared capabilities, shown as they are, and what is missing to work."""
    found = {row["name"]: row for row in api.get("/api/adapters").json()["data"]}
    assert found["sandbox"]["strategy"] == "isolate-per-call"
    assert found["sandbox"]["configured"] is True
    assert found["dispatch"]["configured"] is False
    assert "worker" in found["dispatch"]["missing"]
    assert set(found["cloudflare"]) >= {"supportsRuntimeInstall", "supportsUploadedSpecifiers", "description"}


def test_the_catalogue_tells_who_listens(api: APIClient, scripted: ScriptedAdapter) -> None:
    """Hooks with their listeners in order."""
    serve("beta", hooks=["content:afterSave"], order=2)
    serve("alpha", hooks=["content:afterSave"], order=5)
    hook = api.get("/api/hooks/content:afterSave").json()
    assert [row["plugin"] for row in hook["listeners"]] == ["beta", "alpha"]
    assert {row["name"] for row in api.get("/api/hooks").json()["data"]} >= {"cron", "route", "user:created"}


def test_a_rejected_event_is_422(api: APIClient, scripted: ScriptedAdapter) -> None:
    """A before-hook fired from outside answers with plugin, field and all outcomes."""
    serve("alpha", hooks=["content:beforeSave"])
    scripted.on_call = lambda entry, call: CallOutcome(
        status="rejected", result={"reject": {"message": "No.", "field": "title"}}
    )
    answer = api.post("/api/hooks/content:beforeSave", {"event": PAGE}, format="json")
    body = answer.json()
    assert (answer.status_code, body["error"], body["message"]) == (422, "hook_rejected", "No.")
    assert (body["plugin"], body["field"], body["outcomes"][0]["status"]) == ("alpha", "title", "rejected")


def test_a_breaker_is_seen_and_reset(api: APIClient, scripted: ScriptedAdapter) -> None:
    """Five traps open it, DELETE closes it."""
    serve("alpha", hooks=["content:afterSave"])
    scripted.on_call = lambda entry, call: CallOutcome(status="trap", error_message="boom")
    for _ in range(5):
        api.post("/api/hooks/content:afterSave", {"event": PAGE}, format="json")
    seen = api.get("/api/plugins/alpha/breaker").json()
    assert (seen["open"], seen["failures"], seen["lastMessage"]) == (True, 5, "boom")
    assert api.get("/api/breakers").json()["data"][0]["plugin"] == "alpha"
    assert api.delete("/api/plugins/alpha/breaker").status_code == 204
    assert api.get("/api/plugins/alpha/breaker").json()["open"] is False


SEED = {"pluginName": "search", "action": "install", "specifier": "https://example.com/search.mjs", "registry": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("post", "/__zelavis/plugin/other", SEED, 404),
        ("get", "/__zelavis/plugin/activate", None, 405),
        ("put", "/__zelavis/plugin/activate", SEED, 405),
        ("post", "/__zelavis/plugin/activate", SEED, 200),
        ("post", "/__zelavis/plugin/activate", {**SEED, "action": "explode"}, 400),
        ("post", "/__zelavis/plugin/activate", {**SEED, "registry": {}}, 400),
        ("post", "/__zelavis/plugin/activate", {**SEED, "pluginName": 5}, 400),
        ("post", "/__zelavis/plugin/activate", [], 400),
        ("post", "/__zelavis/plugin/activate", "{", 400),
    ],
)
def test_this_server_answers_as_a_plugin_worker_must(method: str, path: str, body: Any, status: int) -> None:
    """404, 405 with Allow, 400 with the seed's words, 200 with active or pending."""
    client = APIClient()
    raw = body if isinstance(body, str) else json.dumps(body)
    answer = client.generic(method.upper(), path, raw if body is not None else "", content_type="application/json")
    assert answer.status_code == status
    if status == 405:
        assert answer["Allow"] == "POST"
    if status == 400:
        assert answer.json() == {"status": "pending", "message": "Invalid Zelavis plugin activation request."}
    if status == 200:
        assert answer.json() == {"status": "pending", "message": 'Plugin "search" is not deployed here yet.'}


def test_active_is_said_only_of_what_serves(scripted: ScriptedAdapter) -> None:
    """The seed's request changes nothing; it is told what is true."""
    serve("search")
    client = APIClient()
    post = lambda action: client.post(  # noqa: E731
        "/__zelavis/plugin/activate", {**SEED, "action": action}, format="json"
    ).json()
    assert post("install") == {"status": "active"}
    assert post("update") == {"status": "active"}
    assert post("register") == {"status": "active"}
    assert post("uninstall")["status"] == "pending"
    assert PluginEntry.objects.get().status == "installed"
