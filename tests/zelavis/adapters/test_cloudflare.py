"""The adapter ``cloudflare`` against processes that speak the documented API and run what was uploaded."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from sandbox.errors import SandboxError
from tests.server import ROOT, free_port
from tests.zelavis.adapters import cloud
from tests.zelavis.adapters.conftest import Notes, make_call, make_entry, make_order
from zelavis import adapters
from zelavis.adapters import cloudflare_api
from zelavis.adapters.base import Answer, DeployRefused, Order
from zelavis.adapters.cloudflare import CloudflareAdapter, PluginNotSupported, script_key, script_name
from zelavis.errors import ZelavisError

HERE = Path(__file__).parent
SOURCE = b"""
let calls = 0;
export default {
  hooks: {
    "content:afterSave": async (event, ctx) => ({ title: event.content?.title, call: ctx.call.id, calls: ++calls,
                                                  greeting: ctx.settings.greeting }),
    "content:beforeSave": async () => { throw Object.assign(new Error("No."), { code: "rejected" }); },
    "content:beforeDelete": async () => ({ reject: { message: "Keep it." } }),
    "user:created": async () => { throw new TypeError("broken"); },
    "cron": () => new Promise(() => {}),
  },
  routes: { "GET /stats": async (request) => ({ status: 200, json: { path: request.path } }) },
};
"""
DIGEST = hashlib.sha256(SOURCE).hexdigest()
adapter = CloudflareAdapter()


class Cloud:
    """The running processes and what they recorded."""

    def __init__(self, folder: Path, api: str, dispatch: str) -> None:
        self.folder, self.api, self.dispatch = folder, api, dispatch

    def requests(self) -> list[dict[str, Any]]:
        path = self.folder / "requests.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def scripts(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "scripts").iterdir())

    def fault(self, *faults: dict[str, Any]) -> None:
        for number, fault in enumerate(faults):
            (self.folder / "faults" / f"{number}.json").write_text(json.dumps(fault))

    def forget(self) -> None:
        (self.folder / "requests.jsonl").unlink(missing_ok=True)
        for path in [*(self.folder / "scripts").iterdir(), *(self.folder / "faults").iterdir()]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _process(*command: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("cloud")
    api, dispatch = free_port(), free_port()
    started = [_process(sys.executable, "-m", "tests.zelavis.adapters.cloud", str(api), str(folder))]
    if shutil.which("node"):
        started.append(_process("node", str(HERE / "namespace.mjs"), str(dispatch), str(folder)))
    yield Cloud(folder, f"http://127.0.0.1:{api}", f"http://127.0.0.1:{dispatch}")
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def platform(processes: Cloud, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A clean namespace, configured as an operator would by the environment; retries do not wait."""
    processes.forget()
    settings.ENVIRONMENT = replace(
        settings.ENVIRONMENT,
        cloudflare_account_id=cloud.ACCOUNT,
        cloudflare_api_token=cloud.TOKEN,
        cloudflare_namespace=cloud.NAMESPACE,
        cloudflare_dispatch_url=processes.dispatch,
        cloudflare_api_url=processes.api,
    )
    monkeypatch.setattr(cloudflare_api, "_LONGEST_PAUSE", 0.01)
    return processes


def order(**changes: Any) -> Order:
    return make_order(**{"entry_digest": DIGEST, "source": lambda: SOURCE, **changes})


def test_it_says_what_is_not_configured(settings: Any) -> None:
    """Without its variables it names them, and nothing is sent anywhere."""
    assert adapters.get("cloudflare").missing() == (
        "Not set: ZELAVIS_CLOUDFLARE_ACCOUNT_ID, ZELAVIS_CLOUDFLARE_API_TOKEN, ZELAVIS_CLOUDFLARE_NAMESPACE, "
        "ZELAVIS_CLOUDFLARE_DISPATCH_URL."
    )
    with pytest.raises(DeployRefused, match="ZELAVIS_CLOUDFLARE_API_TOKEN"):
        adapter.deploy(order())
    assert adapter.activate(order()).code == "adapter_not_configured"
    assert adapter.call(make_entry(), make_call()).error_code == "adapter_not_configured"


def test_the_upload_is_the_documented_request(platform: Cloud) -> None:
    """One PUT to the script's path with a metadata part, module parts, the token as a bearer and one key."""
    notes = Notes()
    adapter.deploy(order(note=notes))
    [request] = platform.requests()
    script = script_name("search", DIGEST)
    assert request["method"] == "PUT"
    assert request["path"] == (
        f"/accounts/{cloud.ACCOUNT}/workers/dispatch/namespaces/{cloud.NAMESPACE}/scripts/{script}"
    )
    assert request["headers"]["authorization"] == f"Bearer {cloud.TOKEN}"
    assert request["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert request["headers"]["idempotency-key"] == "act_01test-deploy"
    metadata = json.loads((platform.folder / "scripts" / script / "metadata.json").read_text())
    assert metadata["main_module"] == "worker.mjs"
    assert {binding["type"] for binding in metadata["bindings"]} == {"secret_text", "plain_text"}
    assert all("," not in tag and "&" not in tag for tag in metadata["tags"])
    assert (platform.folder / "scripts" / script / "plugin.mjs").read_bytes() == SOURCE
    assert [line[0] for line in notes.lines] == ["verified", "uploaded"]


def test_the_same_version_is_the_same_script(platform: Cloud) -> None:
    """A repeated deploy overwrites one script; another version gets another, so that the old one answers on."""
    adapter.deploy(order())
    adapter.deploy(order())
    other = SOURCE + b"// 2"
    adapter.deploy(order(entry_digest=hashlib.sha256(other).hexdigest(), source=lambda: other))
    assert len(platform.scripts()) == 2


def test_names_fit_and_belong_to_this_installation(settings: Any) -> None:
    """Names are at most 63 characters of the platform's grammar and differ by installation, plugin and version."""
    names = {script_name("a" * 64, DIGEST), script_name("a" * 63 + "b", DIGEST), script_name("a" * 64, "0" * 64)}
    settings.SECRET_KEY = "another installation's key, long enough"
    names.add(script_name("a" * 64, DIGEST))
    assert len(names) == 4
    assert all(len(name) <= 63 and name.replace("-", "").isalnum() for name in names)


def test_keys_are_derived_per_script() -> None:
    """A script's key is neither the server's key nor another script's."""
    assert script_key("a") != script_key("b")
    assert django_settings.SECRET_KEY not in script_key("a")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 401, "body": {"errors": [{"code": 10000, "message": "Authentication error"}]}},
         cloudflare_api.CloudflareCredentialsRefused),
        ({"status": 403, "body": "no"}, cloudflare_api.CloudflareCredentialsRefused),
        ({"status": 404, "body": {}}, cloudflare_api.CloudflareNamespaceNotFound),
        ({"status": 413, "body": {}}, cloudflare_api.CloudflareTooLarge),
        ({"status": 400, "body": {"success": False, "errors": [{"code": 10021, "message": "Uncaught SyntaxError"}]}},
         cloudflare_api.CloudflareRefused),
        ({"status": 200, "body": {"success": False, "errors": []}}, cloudflare_api.CloudflareRefused),
        ({"status": 200, "body": {"success": "true", "result": {}}}, cloudflare_api.CloudflareRefused),
        ({"status": 200, "body": {"success": True, "result": {"id": "another"}}}, cloudflare_api.CloudflareBadAnswer),
        ({"status": 200, "body": {"success": True, "result": None}}, cloudflare_api.CloudflareBadAnswer),
        ({"status": 200, "body": "<html>"}, cloudflare_api.CloudflareBadAnswer),
        ({"status": 200, "body": "[]"}, cloudflare_api.CloudflareBadAnswer),
        ({"status": 302, "body": {}, "headers": {"location": "/"}}, cloudflare_api.CloudflareBadAnswer),
        ({"status": 505, "body": {}}, cloudflare_api.CloudflareBadAnswer),
    ],
)  # fmt: skip
def test_failures_of_the_platform_are_typed(platform: Cloud, fault: dict[str, Any], error: type[DeployRefused]) -> None:
    """Each failure is an error of its own with a code, sent once, and noted in the timeline."""
    platform.fault(fault)
    notes = Notes()
    with pytest.raises(error) as caught:
        adapter.deploy(order(note=notes))
    assert type(caught.value) is error
    assert len(platform.requests()) == 1
    assert notes.lines[-1][2]["code"] == error.code


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "body": {}},
        {"status": 503, "body": "busy"},
        {"status": 429, "headers": {"retry-after": "1"}},
        {"status": 524},
    ],
)
def test_a_busy_platform_is_asked_again_with_the_same_key(platform: Cloud, fault: dict[str, Any]) -> None:
    """5xx and 429 are tried again; every try is the same request under the same key."""
    platform.fault(fault, fault)
    adapter.deploy(order())
    requests = platform.requests()
    assert len(requests) == 3
    assert {request["headers"]["idempotency-key"] for request in requests} == {"act_01test-deploy"}
    assert len(platform.scripts()) == 1


def test_a_platform_that_stays_busy_is_unavailable(platform: Cloud) -> None:
    """After three tries it is over, with the last reason and a code."""
    platform.fault(*[{"status": 503, "body": {"errors": [{"code": 1, "message": "overloaded"}]}}] * 5)
    with pytest.raises(cloudflare_api.CloudflareUnavailable, match=r"3 tries.*overloaded"):
        adapter.deploy(order())
    assert len(platform.requests()) == 3


def test_a_broken_connection_is_survived(platform: Cloud) -> None:
    """An upload is idempotent, so a reset in between is followed by the same upload."""
    platform.fault({"reset": True})
    adapter.deploy(order())
    assert len(platform.scripts()) == 1


def test_nobody_listening_is_unavailable(platform: Cloud, settings: Any) -> None:
    """A refused connection ends in the typed error, without the URL or the token."""
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, cloudflare_api_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(cloudflare_api.CloudflareUnavailable, match="cannot be reached"):
        adapter.deploy(order())


def test_the_token_stands_in_no_message_note_or_log(platform: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    """Even an API that repeats the token back leaves no trace of it."""
    caplog.set_level(logging.DEBUG)
    notes = Notes()
    echo = {"success": False, "errors": [{"code": 1, "message": f"bad token {cloud.TOKEN}"}]}
    for fault in ({"status": 403, "body": echo}, {"status": 400, "body": echo}, {"status": 200, "body": echo}):
        platform.fault(fault)
        with pytest.raises(DeployRefused) as caught:
            adapter.deploy(order(note=notes))
        assert cloud.TOKEN not in str(caught.value) + repr(caught.value.members)
    platform.fault(*[{"status": 500, "body": echo}] * 3)
    with pytest.raises(DeployRefused) as caught:
        adapter.deploy(order(note=notes))
    assert cloud.TOKEN not in str(caught.value)
    key = script_key(script_name("search", DIGEST))
    assert cloud.TOKEN not in notes.text + caplog.text + repr(django_settings.ENVIRONMENT)
    assert key not in notes.text + caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "wasm"}, "WebAssembly"),
        ({"grants": {"kv": {}, "log": {}, "content:read": {}}}, "content:read, kv"),
        ({"source": None}, "has none"),
    ],
)
def test_what_a_script_cannot_do_is_refused_before_the_upload(
    platform: Cloud, changes: dict[str, Any], said: str
) -> None:
    """A plugin that needs what the platform lacks is refused with a reason and nothing is sent."""
    with pytest.raises(PluginNotSupported, match=said):
        adapter.deploy(order(**changes))
    assert platform.requests() == []


def test_other_bytes_than_approved_are_refused(platform: Cloud) -> None:
    """The digest is verified before the upload."""
    with pytest.raises(DeployRefused, match="not the one that was approved"):
        adapter.deploy(order(source=lambda: b"other"))
    assert platform.requests() == []


def test_deleting_what_is_gone_is_fine(platform: Cloud) -> None:
    """A delete that is repeated ends as the first did."""
    adapter.deploy(order())
    script = script_name("search", DIGEST)
    assert cloudflare_api.delete(script, key="k") is True
    assert cloudflare_api.delete(script, key="k") is False


def test_errors_are_ours() -> None:
    """Every typed failure is an error that the activation records with its code."""
    for error in (cloudflare_api.CloudflareRefused, cloudflare_api.CloudflareUnavailable, PluginNotSupported):
        assert issubclass(error, ZelavisError)
        assert not issubclass(error, SandboxError)


# --- with what was uploaded at work -------------------------------------------------------------------------------


@pytest.mark.node
def test_an_uploaded_plugin_becomes_active(platform: Cloud) -> None:
    """Upload, then the signed standard request through the dispatch Worker: active, and signed back."""
    adapter.deploy(order())
    assert adapter.activate(order()) == Answer(status="active", message="search install accepted.", http_status=200)


@pytest.mark.node
def test_before_it_has_spread_it_is_pending(platform: Cloud) -> None:
    """A script that the dispatch Worker does not find yet is pending as worker_not_found."""
    answer = adapter.activate(order())
    assert (answer.status, answer.code) == ("pending", "worker_not_found")


@pytest.mark.node
def test_a_script_answers_nobody_else(platform: Cloud, settings: Any) -> None:
    """Another installation's key is 401 at the script; nothing runs."""
    adapter.deploy(order())
    script = platform.scripts()[0]
    settings.SECRET_KEY = "another installation's key, long enough"
    (platform.folder / "scripts" / script).rename(platform.folder / "scripts" / script_name("search", DIGEST))
    answer = adapter.activate(order())
    assert (answer.status, answer.http_status) == ("failed", 401)


def entry() -> Any:
    return make_entry(adapter="cloudflare", digest=DIGEST)


@pytest.mark.node
def test_hooks_and_routes_reach_the_script(platform: Cloud) -> None:
    """Hooks get their event, settings and call id; routes answer; a repeated call id is not run again."""
    adapter.deploy(order())
    first = adapter.call(entry(), make_call(id="inv_a"))
    assert first.status == "ok"
    assert first.result == {"title": "About", "call": "inv_a", "calls": 1, "greeting": "Hello"}
    assert adapter.call(entry(), make_call(id="inv_a")).result["calls"] == 1
    assert adapter.call(entry(), make_call(id="inv_b")).result["calls"] == 2
    route = make_call(id="inv_r", hook="route", event={"method": "GET", "path": "/stats", "route": "/stats"})
    assert adapter.call(entry(), route).result == {"status": 200, "json": {"path": "/stats"}}


@pytest.mark.node
@pytest.mark.parametrize(
    ("hook", "status", "code"),
    [
        ("content:beforeSave", "rejected", "rejected"),
        ("content:beforeDelete", "rejected", ""),
        ("user:created", "trap", ""),
        ("cron", "deadline", "deadline"),
        ("content:afterDelete", "trap", "no_handler"),
        ("plugin:activate", "ok", ""),
    ],
)
def test_outcomes_are_the_sandboxs_words(platform: Cloud, hook: str, status: str, code: str) -> None:
    """A rejection, an error, a late and a missing handler come back as the sandbox would tell them."""
    adapter.deploy(order())
    outcome = adapter.call(entry(), make_call(id=f"inv_{hook}", hook=hook, deadline_ms=100))
    assert (outcome.status, outcome.error_code) == (status, code)


@pytest.mark.node
def test_the_platforms_limits_are_a_deadline(platform: Cloud) -> None:
    """A script stopped by the platform's CPU limit is an outcome of its own, not a broken worker."""
    adapter.deploy(order())
    (platform.folder / "scripts" / platform.scripts()[0] / "over-limit").touch()
    outcome = adapter.call(entry(), make_call())
    assert (outcome.status, outcome.error_code) == ("deadline", "limit_exceeded")


@pytest.mark.node
def test_an_uninstall_takes_every_version_away_and_nothing_else(platform: Cloud) -> None:
    """After the farewell all versions of the plugin are deleted; scripts of others stay, whatever the list says."""
    adapter.deploy(order())
    other = SOURCE + b"// 2"
    adapter.deploy(order(entry_digest=hashlib.sha256(other).hexdigest(), source=lambda: other))
    adapter.deploy(order(name="search-more"))
    notes = Notes()
    assert adapter.activate(order(action="uninstall", note=notes)).status == "active"
    assert platform.scripts() == [script_name("search-more", DIGEST)]
    assert not any("somebody-elses" in request["path"] for request in platform.requests())


def test_an_uninstall_goes_on_without_a_farewell(platform: Cloud) -> None:
    """A script that does not answer is deleted all the same; while the API is away it stays pending."""
    adapter.deploy(order())
    environment = django_settings.ENVIRONMENT
    django_settings.ENVIRONMENT = replace(environment, cloudflare_dispatch_url=f"http://127.0.0.1:{free_port()}")
    platform.fault(*[{"status": 503, "body": {}}] * 3)
    leaving = order(action="uninstall")
    answer = adapter.activate(leaving)
    assert (answer.status, answer.code) == ("pending", "cloudflare_unavailable")
    assert adapter.activate(leaving).status == "active"
    assert platform.scripts() == []
    assert adapter.activate(leaving).status == "active"
