"""The seed's HTTP surface: routes, bodies, codes, headers and odd corners; and what we add to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from runs import records
from runs.models import Run
from tests.runs.conftest import run
from tests.runs.scripted import Tenant, wait, waiting
from zelavis import tokens

pytestmark = pytest.mark.django_db


def client(*scopes: str, tenant: str = "") -> Client:
    """A client with a token."""
    _, secret = tokens.create("tests", list(scopes) or ["*"], tenant=tenant)
    return Client(headers={"authorization": f"Bearer {secret}"})


@pytest.fixture
def http(db: None) -> Client:
    """A client with every scope."""
    return client()


#: Below the seed's own paths, and no route of it.
NOWHERE = (
    *("/api/runs/", "/api/runs/x/", "/api/runs//x", "/api/manifests/", "/api/manifests/a/b"),
    *("/api/manifests/production/", "/api/events/", "/api/events/x", "/api/schedules", "/api/schedules/"),
    "/api/schedules/a/b",
)


def post(http: Client, path: str, body: Any = "", **headers: str) -> Any:
    """POST JSON, or raw text."""
    raw = body if isinstance(body, str) else json.dumps(body)
    return http.post(path, raw, content_type="application/json", headers=headers)


def test_every_answer_has_the_seeds_headers(http: Client) -> None:
    """JSON with its charset and the three CORS headers, on success and on errors."""
    for answer in (post(http, "/api/runs", {"workflowId": "greet"}), http.get("/api/runs/none"), http.put("/api/runs")):
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-methods"] == "GET,POST,OPTIONS"
        assert answer.headers["access-control-allow-headers"] == "content-type, x-voyant-protocol"


def test_options_needs_no_token() -> None:
    """OPTIONS anywhere under the runs is 204 and empty, before authentication."""
    for path in ("/api/runs", "/api/runs/x", "/api/runs/x/events", "/api/manifests", "/api/events", *NOWHERE):
        answer = Client().options(path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "missing Authorization header"),
        ("Basic x", "Authorization header must use the Bearer scheme"),
        ("bearer x", "Authorization header must use the Bearer scheme"),
        ("Bearer x", "bearer token does not match any configured value"),
        ("Bearer zlv_unknown", "bearer token does not match any configured value"),
    ],
)
@pytest.mark.django_db
def test_without_a_token_nothing_is_told(header: str | None, message: str) -> None:
    """401 with the seed's message on every path, also on those that do not exist."""
    http = Client(headers={"authorization": header} if header else {})
    for path in ("/api/runs", "/api/runs/x", "/api/runs/x/bogus", *NOWHERE):
        answer = http.get(path)
        assert answer.status_code == 401
        assert (answer.json()["error"], answer.json()["message"]) == ("unauthorized", message)


@pytest.mark.parametrize(
    ("method", "path", "status", "error", "message"),
    [
        ("delete", "/api/runs", 404, "route_not_found", None),
        ("put", "/api/runs/x", 400, "route_not_found", "unknown path suffix "),
        ("post", "/api/runs/x/bogus", 400, "route_not_found", "unknown path suffix /bogus"),
        ("get", "/api/runs/x/bogus", 400, "route_not_found", "unknown path suffix /bogus"),
        ("get", "/api/runs/x/events", 400, "invalid_body", "`eventType` (string) is required"),
        ("get", "/api/runs/x/signals", 400, "invalid_body", "`name` (string) is required"),
        ("get", "/api/runs/x", 404, "not_found", None),
        ("post", "/api/runs/x/cancel", 404, "not_found", "no run stored in this DO"),
    ],
)
def test_wrong_routes(http: Client, method: str, path: str, status: int, error: str, message: str | None) -> None:
    """Wrong verbs and suffixes answer as the seed does."""
    answer = post(http, path) if method == "post" else getattr(http, method)(path)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    if message is not None:
        assert answer.json()["message"] == message


@pytest.mark.parametrize("path", NOWHERE)
def test_what_is_no_route_of_the_seed(http: Client, path: str) -> None:
    """Below the seed's paths, what is no route is 404 with its path, as the seed's, for a token of any scope."""
    _, narrow = tokens.create("narrow", ["plugins:read"])
    for client in (http, Client(headers={"authorization": f"Bearer {narrow}"})):
        for method in ("get", "post", "put", "patch", "delete"):
            answer = getattr(client, method)(path)
            assert (answer.status_code, answer.json()["error"]) == (404, "route_not_found")
            assert answer.json()["path"] == path
            assert answer.headers["content-type"] == "application/json; charset=utf-8"
            assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("suffix", ["cancel", "resume", "tokens/t1", "tokens/"])
def test_reading_never_acts(http: Client, workflow: Any, suffix: str) -> None:
    """A GET or HEAD of what only a POST may do is a 400 and changes nothing."""
    workflow("asks-a-person")(lambda context, given: context.token("t1").wait())
    before = run("asks-a-person")
    assert before["status"] == "waiting", before
    for method in (http.get, http.head):
        assert method(f"/api/runs/{before['id']}/{suffix}").status_code == 400
    assert http.get(f"/api/runs/{before['id']}/{suffix}").json()["error"] == "route_not_found"
    assert records.load(before["id"]) == before


def test_what_is_nobodys_path_is_told_without_a_token() -> None:
    """Outside the seed's paths the seed's rules do not hold: 404 before authentication, and no origin is let in."""
    for method in ("get", "post", "options"):
        for path in ("/api/nowhere", "/api/runsx", "/api/schedules-of-mine"):
            answer = getattr(Client(), method)(path)
            assert (answer.status_code, answer.json()["error"]) == (404, "route_not_found")
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("path", "body", "error", "message"),
    [
        ("/api/runs", "", "invalid_json", None),
        ("/api/runs", "{", "invalid_json", None),
        ("/api/runs", "null", "invalid_body", "request body must be an object"),
        ("/api/runs", {}, "invalid_body", "`workflowId` (string) is required"),
        ("/api/runs", {"workflowId": 5}, "invalid_body", "`workflowId` (string) is required"),
        ("/api/runs", {"workflowId": "greet", "environment": "moon"}, "invalid_body", None),
        ("/api/runs", {"workflowId": "greet", "tenantMeta": []}, "invalid_body", "`tenantMeta` must be an object"),
        ("/api/runs", {"workflowId": "greet", "tenantMeta": {"tenantId": 1}}, "invalid_body", None),
        ("/api/runs", {"workflowId": "greet", "delay": "soon"}, "invalid_body", None),
        ("/api/runs", {"workflowId": "greet", "delay": {"wakeAt": "x"}}, "invalid_body", None),
        ("/api/runs", {"workflowId": "greet", "priority": "high"}, "invalid_body", None),
        ("/api/runs", {"workflowId": "greet", "runId": "a/b"}, "invalid_body", None),
        ("/api/runs", {"workflowId": "greet", "concurrency": {"strategy": "x"}}, "invalid_body", None),
        ("/api/runs/x/events", "[]", "invalid_body", "request body must be an object"),
        ("/api/runs/x/events", {}, "invalid_body", "`eventType` (string) is required"),
        ("/api/runs/x/events", {"eventType": ""}, "invalid_body", "`eventType` (string) is required"),
        ("/api/runs/x/signals", {"name": 3}, "invalid_body", "`name` (string) is required"),
        ("/api/runs/x/tokens/t", "{", "invalid_json", None),
        ("/api/runs/x/events?deliver=later", {"eventType": "e"}, "invalid_request", None),
        ("/api/runs/x/resume", {"tags": [1]}, "invalid_body", "`tags` must be an array of strings when provided"),
        ("/api/runs/x/resume", {"seedResults": None}, "invalid_body", "`seedResults` must be an object when provided"),
        ("/api/runs/bulk", {"action": "cancel"}, "invalid_body", None),
    ],
)
def test_bad_input_is_a_400_and_changes_nothing(
    http: Client, path: str, body: Any, error: str, message: str | None
) -> None:
    """What the seed let crash is a 400 with a code here, and no run is made."""
    answer = post(http, path, body)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    if message is not None:
        assert answer.json()["message"] == message
    assert not Run.objects.exists()


def test_a_body_with_an_error_is_echoed(http: Client) -> None:
    """The seed's odd corner: a body with a text `error` comes back with 400."""
    answer = post(http, "/api/runs/x/events", {"error": "mine", "eventType": "e"})
    assert (answer.status_code, answer.json()) == (400, {"error": "mine", "eventType": "e"})


def test_an_unknown_workflow_is_refused_where_that_can_be_known(http: Client) -> None:
    """Without any tenant an unknown workflow is 404, and nothing is stored."""
    answer = post(http, "/api/runs", {"workflowId": "typo"})
    assert (answer.status_code, answer.json()["error"]) == (404, "workflow_not_found")
    assert not Run.objects.exists()


def test_a_tenant_that_does_not_know_the_workflow_fails_the_run(http: Client, tenant: Tenant) -> None:
    """With a tenant it is the tenant that knows: 200 and a failed run, as in the seed."""
    tenant.handler = lambda request: (404, {}, b'{"error": "workflow_not_found", "message": "workflow \\"x\\" ..."}')
    answer = post(http, "/api/runs", {"workflowId": "typo"})
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert answer.json()["error"]["code"] == "handler_error"


def test_the_wire_is_the_seeds(http: Client, tenant: Tenant) -> None:
    """The step request has the seed's members in the seed's order, and the signature of its exact bytes."""
    import base64
    import hashlib
    import hmac

    meta = {"tenantId": "tnt_demo", "projectId": "prj_demo", "organizationId": "org_demo"}
    body = {"workflowId": "wait-event", "workflowVersion": "v1", "input": None, "runId": "a61", "tenantMeta": meta}
    record = post(http, "/api/runs", body).json()
    (request,), (raw,), (headers,) = tenant.requests, tenant.raw, tenant.headers
    assert list(request) == [
        *("protocolVersion", "runId", "workflowId", "workflowVersion", "invocationCount", "input", "journal"),
        *("environment", "deadline", "tenantMeta", "runMeta"),
    ]
    assert list(request["journal"]) == [
        *("stepResults", "waitpointsResolved", "compensationsRun", "metadataState", "streamsCompleted")
    ]
    assert request["deadline"] == 9007199254740991
    assert request["runMeta"] == {
        "number": 1,
        "attempt": 1,
        "triggeredBy": {"kind": "api"},
        "tags": [],
        "startedAt": record["startedAt"],
    }
    expected = base64.b64encode(hmac.digest(b"shared-dev-secret", raw, hashlib.sha256)).decode()
    assert headers["x-voyant-dispatch-auth"] == expected
    assert (headers["x-voyant-protocol"], headers["content-type"]) == ("1", "application/json; charset=utf-8")


def test_the_seeds_signature_vector() -> None:
    """The published vector of the seed's signature holds."""
    from runs.dispatchers.http import signature

    raw = (
        '{"protocolVersion":1,"runId":"a61","workflowId":"wait-event","workflowVersion":"v1","invocationCount":1,'
        '"input":null,"journal":{"stepResults":{},"waitpointsResolved":{},"compensationsRun":{},"metadataState":{},'
        '"streamsCompleted":{}},"environment":"development","deadline":9007199254740991,"tenantMeta":{"tenantId":'
        '"tnt_demo","projectId":"prj_demo","organizationId":"org_demo"},"runMeta":{"number":1,"attempt":1,'
        '"triggeredBy":{"kind":"api"},"tags":[],"startedAt":1795229867996}}'
    )
    assert signature("shared-dev-secret", raw.encode()) == "/7G24o4x28xwwy9XlL4Ii4FxD36KAKBBvNtXxnOLzAs="


def test_absent_is_not_null(http: Client, tenant: Tenant) -> None:
    """An input, output or payload that is absent stays absent, on the wire and in the record."""
    tenant.handler = lambda request: {"status": "completed", "journal": request["journal"]}
    record = post(http, "/api/runs", {"workflowId": "x"}).json()
    assert "input" not in record
    assert "output" not in record
    assert "input" not in tenant.requests[0]
    record = post(http, "/api/runs", {"workflowId": "x", "input": None}).json()
    assert record["input"] is None
    assert tenant.requests[1]["input"] is None


def test_a_token_id_may_hold_anything(http: Client, tenant: Tenant) -> None:
    """A token id is percent-decoded, slashes and spaces included; a second answer is refused."""
    key = "token:appr/1 x"
    tenant.handler = lambda request: waiting(request, {**wait("MANUAL", key), "meta": {"tokenId": "appr/1 x"}})
    run_id = post(http, "/api/runs", {"workflowId": "x"}).json()["id"]
    tenant.handler = lambda request: {"status": "completed", "output": 1, "journal": request["journal"]}
    answer = post(http, f"/api/runs/{run_id}/tokens/appr%2F1%20x", "")
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert "payload" not in answer.json()["journal"]["waitpointsResolved"][key]
    assert post(http, f"/api/runs/{run_id}/tokens/appr%2F1%20x", "").status_code == 409


def test_a_duplicate_run_id_is_the_same_run(http: Client) -> None:
    """The same id with the same body is 200 with the existing record; with another body 409 with both hashes."""
    body = {"workflowId": "greet", "runId": "same", "input": 1}
    first, again = post(http, "/api/runs", body).json(), post(http, "/api/runs", body)
    assert (again.status_code, again.json()["startedAt"]) == (200, first["startedAt"])
    refused = post(http, "/api/runs", {**body, "input": 2})
    assert (refused.status_code, refused.json()["error"]) == (409, "run_conflict")
    assert refused.json()["existingHash"] != refused.json()["requestHash"]


def test_an_idempotency_key_finds_its_run(http: Client) -> None:
    """The header and the body's member find the run that they made; the seed ignored both."""
    first = post(http, "/api/runs", {"workflowId": "greet"}, **{"idempotency-key": "k1"}).json()
    assert post(http, "/api/runs", {"workflowId": "greet"}, **{"idempotency-key": "k1"}).json()["id"] == first["id"]
    second = post(http, "/api/runs", {"workflowId": "greet", "idempotencyKey": "k2"}).json()
    assert post(http, "/api/runs", {"workflowId": "greet", "idempotencyKey": "k2"}).json()["id"] == second["id"]
    assert first["id"] != second["id"]


def test_a_tenant_sees_its_own_runs_only(http: Client) -> None:
    """To a token of a tenant the runs of others do not exist: not read, listed, answered, cancelled or resumed."""
    theirs = post(client(tenant="b"), "/api/runs", {"workflowId": "greet", "runId": "theirs"}).json()
    assert theirs["tenantMeta"]["tenantId"] == "b"
    other = client(tenant="a")
    assert other.get("/api/runs/theirs").status_code == 404
    for suffix in ("journal", "timeline", "why", "receipts", "stream", "links"):
        assert other.get(f"/api/runs/theirs/{suffix}").status_code == 404, suffix
    for suffix, body in (
        ("cancel", {}),
        ("events", {"eventType": "greet"}),
        ("pause", {}),
        ("wake", {}),
        ("resume", {}),
    ):
        assert post(other, f"/api/runs/theirs/{suffix}", body).status_code == 404, suffix
    assert other.get("/api/runs").json()["runs"] == []
    assert other.get("/api/runs?tenant=b").json()["runs"] == []
    assert post(other, "/api/runs", {"workflowId": "greet", "runId": "theirs"}).status_code == 409
    forged = post(other, "/api/runs", {"workflowId": "greet", "tenantMeta": {"tenantId": "b"}})
    assert (forged.status_code, forged.json()["error"]) == (403, "forbidden")
    assert [run["id"] for run in http.get("/api/runs").json()["runs"]] == ["theirs"]


def test_reading_needs_its_scope() -> None:
    """runs:read reads, runs:write changes, and neither does the other's work."""
    reader, writer = client("runs:read"), client("runs:write")
    assert post(reader, "/api/runs", {"workflowId": "greet"}).status_code == 403
    run_id = post(writer, "/api/runs", {"workflowId": "greet"}).json()["id"]
    assert writer.get(f"/api/runs/{run_id}").status_code == 403
    assert reader.get(f"/api/runs/{run_id}").status_code == 200
    assert reader.get(f"/api/runs/{run_id}/links").status_code == 403


def test_the_list_pages_without_gaps(http: Client) -> None:
    """Following `next` visits every run once, newest first; filters narrow it."""
    made = [post(http, "/api/runs", {"workflowId": "greet", "tags": [f"t{n % 2}"]}).json()["id"] for n in range(7)]
    seen, cursor = [], ""
    while True:
        page = http.get("/api/runs", {"limit": 3, "cursor": cursor}).json()
        seen += [run["id"] for run in page["runs"]]
        cursor = page["next"]
        if not cursor:
            break
    assert sorted(seen) == sorted(made)
    assert len(seen) == len(set(seen))
    tagged = http.get("/api/runs", {"tag": "t1", "status": "waiting,running"}).json()["runs"]
    assert {run["id"] for run in tagged} == set(made[1::2])
    assert http.get("/api/runs", {"cursor": "x"}).status_code == 400
    assert http.get("/api/runs", {"limit": "0"}).status_code == 400


def test_a_stream_goes_on_where_its_reader_stopped(http: Client) -> None:
    """Events carry the run's numbers; with Last-Event-ID only what came later is sent, and it ends with the run."""
    run_id = post(http, "/api/runs", {"workflowId": "greet"}).json()["id"]
    post(http, f"/api/runs/{run_id}/cancel")

    def read(**headers: str) -> list[str]:
        answer: Any = http.get(f"/api/runs/{run_id}/stream", headers=headers)
        assert answer.headers["content-type"].startswith("text/event-stream")
        return b"".join(answer.streaming_content).decode().split("\n\n")

    whole = read()
    assert whole[1].startswith("event: hello")
    assert whole[-2].startswith("id: 3\nevent: end")
    numbers = [block.split("\n")[0] for block in whole if "event: journal" in block]
    assert numbers == ["id: 1", "id: 2", "id: 3"]
    later = read(**{"last-event-id": "2"})
    assert [block.split("\n")[0] for block in later if "event: journal" in block] == ["id: 3"]


def test_too_large_payloads_are_413(http: Client, rules: Any) -> None:
    """An input or payload over the limit is refused with the limit, and nothing changes."""
    rules(max_payload_bytes=100)
    refused = post(http, "/api/runs", {"workflowId": "greet", "input": "x" * 200})
    assert (refused.status_code, refused.json()["error"], refused.json()["limit"]) == (413, "payload_too_large", 100)
    run_id = post(http, "/api/runs", {"workflowId": "greet"}).json()["id"]
    body = {"eventType": "greet", "payload": "x" * 200}
    assert post(http, f"/api/runs/{run_id}/events?deliver=buffer", body).status_code == 413


def test_bulk_cancels_what_a_filter_finds(http: Client) -> None:
    """A verb with a filter does it to all that fit, and tells which it could not."""
    made = [post(http, "/api/runs", {"workflowId": "greet", "tags": ["old"]}).json()["id"] for _ in range(3)]
    post(http, f"/api/runs/{made[0]}/cancel")
    answer = post(http, "/api/runs/bulk?tag=old", {"action": "cancel", "reason": "clean up"}).json()
    assert sorted(answer["done"]) == sorted(made[1:])
    assert answer["refused"] == [{"runId": made[0], "error": "already_terminal"}]
    assert http.get(f"/api/runs/{made[1]}").json()["error"]["message"] == "clean up"


def test_a_human_answers_by_a_signed_link(http: Client, tenant: Tenant, rules: Any) -> None:
    """The link of a question takes one answer, without an account; forged, expired or used links take none."""
    from runs import links
    from tests.runs.conftest import wake

    tenant.handler = lambda request: (
        waiting(request, wait("MANUAL", "token:boss"))
        if not request["journal"]["waitpointsResolved"]
        else {"status": "completed", "output": request["journal"]["waitpointsResolved"]["token:boss"]["payload"]}
        | {"journal": request["journal"]}
    )
    run_id = post(http, "/api/runs", {"workflowId": "x"}).json()["id"]
    (link,) = http.get(f"/api/runs/{run_id}/links").json()["links"]
    human, path = Client(), link["url"].removeprefix("http://testserver")
    assert b"Approve" in human.get(path).content
    assert human.post(path, {"answer": "perhaps"}).status_code == 400
    assert human.get(path.replace("/tokens/", "/tokens/x")).status_code == 403
    assert human.get(links.url(run_id, "boss", expires_at=5)).status_code == 403
    done = human.post(path, {"answer": "approve", "comment": "<i>fine</i>"})
    assert done.status_code == 200
    assert human.post(path, {"answer": "reject"}).status_code == 409
    wake()
    assert http.get(f"/api/runs/{run_id}").json()["output"] == {"approved": True, "comment": "<i>fine</i>"}


def test_concurrency_keys_queue_and_name_their_holder(http: Client) -> None:
    """The second run under a key waits for the first one's place, says so, and gets it when that ends."""
    rule = {"concurrency": {"key": "one"}}
    first = post(http, "/api/runs", {"workflowId": "greet", **rule}).json()
    second = post(http, "/api/runs", {"workflowId": "greet", **rule}).json()
    assert (first["status"], second["status"], second["invocationCount"]) == ("waiting", "running", 0)
    why = http.get(f"/api/runs/{second['id']}/why").json()
    assert (why["reason"], why["heldBy"]) == ("concurrency", [first["id"]])
    refused = post(
        http, "/api/runs", {"workflowId": "greet", "concurrency": {"key": "one", "strategy": "cancel-newest"}}
    )
    assert (refused.status_code, refused.json()["heldBy"]) == (409, [first["id"]])
    post(http, f"/api/runs/{first['id']}/cancel")
    assert http.get(f"/api/runs/{second['id']}/why").json()["reason"] == "ready"
    rule = {"concurrency": {"key": "one", "strategy": "cancel-in-progress"}}
    third = post(http, "/api/runs", {"workflowId": "greet", **rule}).json()
    assert third["status"] == "waiting"
    assert (
        http.get(f"/api/runs/{second['id']}").json()["error"]["message"] == "cancelled by workflow concurrency policy"
    )
