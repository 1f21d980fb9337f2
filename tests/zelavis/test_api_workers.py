"""Dispatch namespaces and workers over HTTP: added, changed, rotated and removed, secrets never shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zelavis.plugs import serve
from zelavis import audit, signing, tokens, workers
from zelavis.errors import WorkerNotFound
from zelavis.models import AuditEvent, DispatchNamespace, DispatchWorker, IdempotencyKey

pytestmark = pytest.mark.django_db
SECRET = "a secret of the tests, long enough"
WORKERS = "/api/namespaces/edge/workers"


def post(api: APIClient, path: str, **body: Any) -> Any:
    return api.post(path, body, format="json")


@pytest.fixture
def edge(api: APIClient) -> APIClient:
    """The namespace ``edge`` with the worker ``one``."""
    assert post(api, "/api/namespaces", name="edge").status_code == 201
    made = post(api, WORKERS, name="one", baseUrl="https://one.example.com", secret=SECRET)
    assert made.status_code == 201, made.json()
    assert made["Location"] == f"{WORKERS}/one"
    return api


def test_a_worker_is_added_changed_and_removed(edge: APIClient) -> None:
    """What is set is what is told; an empty namespace goes, one with workers does not."""
    told = edge.patch(f"{WORKERS}/one", {"timeoutMs": 500, "takesUploads": True}, format="json").json()
    assert (told["timeoutMs"], told["takesUploads"], told["baseUrl"]) == (500, True, "https://one.example.com")
    assert edge.get(WORKERS).json()["data"] == [told]
    assert [one["name"] for one in edge.get("/api/namespaces").json()["data"][0]["workers"]] == ["one"]
    assert edge.delete("/api/namespaces/edge").json()["error"] == "worker_in_use"
    assert edge.delete(f"{WORKERS}/one").status_code == 204
    assert edge.get(f"{WORKERS}/one").json()["error"] == "worker_not_found"
    assert edge.delete("/api/namespaces/edge").status_code == 204
    assert edge.get("/api/namespaces/edge").json()["error"] == "namespace_not_found"
    deeds = list(AuditEvent.objects.order_by("id").values_list("action", flat=True))
    assert deeds == ["namespace.create", "worker.create", "worker.change", "worker.remove", "namespace.remove"]


def test_a_worker_that_a_plugin_names_stays(edge: APIClient) -> None:
    """It is removed when nothing names it any more."""
    entry = serve("alpha", adapter="dispatch")
    entry.worker = DispatchWorker.objects.get()
    entry.save()
    assert edge.delete(f"{WORKERS}/one").json()["error"] == "worker_in_use"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "../two", "baseUrl": "https://two.example.com"},
        {"name": "Two", "baseUrl": "https://two.example.com"},
        {"name": "two", "baseUrl": "ftp://two.example.com"},
        {"name": "two", "baseUrl": "https://user:pw@two.example.com"},
        {"name": "two", "baseUrl": "https://two.example.com/?x=1"},
        {"name": "two", "baseUrl": "two"},
        {"name": "two", "baseUrl": "https://[two"},
        {"name": "two", "baseUrl": "https://[::1]x:y"},
        {"name": "two", "baseUrl": "https://two.example.com", "timeoutMs": 1},
        {"name": "two", "baseUrl": "https://two.example.com", "secret": "short"},
        {"name": "two", "baseUrl": "https://two.example.com", "secret": "whsec_not base64 at all!"},
        {"name": "two", "baseUrl": "https://two.example.com", "other": 1},
    ],
)
def test_what_cannot_be_a_worker_is_refused(edge: APIClient, body: dict[str, Any]) -> None:
    """Names that a path would read, URLs that are no base, limits out of range, weak secrets: 400, nothing made."""
    answer = post(edge, WORKERS, **body)
    assert answer.status_code == 400, answer.json()
    assert DispatchWorker.objects.count() == 1


def test_names_are_taken_once(edge: APIClient) -> None:
    """409 for a second namespace or worker of a name."""
    assert post(edge, "/api/namespaces", name="edge").json()["error"] == "worker_exists"
    again = post(edge, WORKERS, name="one", baseUrl="https://other.example.com")
    assert (again.status_code, again.json()["error"]) == (409, "worker_exists")


def test_a_secret_goes_in_and_never_comes_out(edge: APIClient) -> None:
    """Neither it nor its sealed form is in an answer or the audit log; its name is."""
    row = DispatchWorker.objects.get()
    pages = [edge.get(WORKERS).content, edge.get("/api/namespaces").content, edge.get(f"{WORKERS}/one").content]
    told = b"".join(pages).decode() + json.dumps(list(AuditEvent.objects.values("changes")))
    assert SECRET not in told
    assert row.secret not in told
    assert edge.get(f"{WORKERS}/one").json()["keyIds"] == [signing.key_id(SECRET)]


def test_a_secret_is_changed_in_two_steps(edge: APIClient) -> None:
    """Both sign while it is being changed; a drawn one is shown once; at the end the old one counts no more."""
    begun = post(edge, f"{WORKERS}/one/rotate").json()
    drawn = begun["secret"]
    assert drawn.startswith("whsec_")
    assert begun["worker"]["rotating"] is True
    assert begun["worker"]["keyIds"] == [signing.key_id(drawn), signing.key_id(SECRET)]
    assert workers.keys(DispatchWorker.objects.get(), shared=()) == (drawn, SECRET)
    assert edge.delete(f"{WORKERS}/one/rotate").status_code == 204
    told = edge.get(f"{WORKERS}/one").json()
    assert (told["rotating"], told["keyIds"]) == (False, [signing.key_id(drawn)])
    own = post(edge, f"{WORKERS}/one/rotate", secret="another one of the tests").json()
    assert own["secret"] is None
    assert post(edge, f"{WORKERS}/one/rotate", secret="short").status_code == 400


def test_a_change_that_began_before_a_rotation_leaves_the_new_secret(edge: APIClient) -> None:
    """Two operators at once: the one who changes a time-out does not put the old secret back."""
    seen = workers.get("edge", "one")
    drawn = workers.rotate(workers.get("edge", "one"), actor="user:a")
    changed = workers.change(seen, {"timeout_ms": 500}, actor="user:b")
    now = DispatchWorker.objects.get()
    assert (now.timeout_ms, workers.keys(now, shared=())) == (500, (drawn, SECRET))
    assert workers.keys(changed, shared=()) == (drawn, SECRET)


def test_a_change_that_began_before_a_removal_brings_nothing_back(edge: APIClient) -> None:
    """A worker that was taken away meanwhile is not found, and stays away."""
    seen = workers.get("edge", "one")
    workers.remove(workers.get("edge", "one"), actor="user:a")
    with pytest.raises(WorkerNotFound):
        workers.change(seen, {"timeout_ms": 500}, actor="user:b")
    assert not DispatchWorker.objects.exists()


def test_a_worker_changes_only_together_with_its_line_in_the_audit_log(
    edge: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the line cannot be written, nothing is made, changed or removed."""

    def full(*given: Any, **more: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(audit, "record", full)
    for deed in (
        lambda: workers.add_namespace("other", actor="a"),
        lambda: workers.add("edge", {"name": "two", "base_url": "https://two.example.com"}, actor="a"),
        lambda: workers.change(workers.get("edge", "one"), {"timeout_ms": 77}, actor="a"),
        lambda: workers.remove(workers.get("edge", "one"), actor="a"),
    ):
        with pytest.raises(OSError, match="no space"):
            deed()
    assert list(DispatchNamespace.objects.values_list("name", flat=True)) == ["edge"]
    assert [(row.name, row.timeout_ms == 77) for row in DispatchWorker.objects.all()] == [("one", False)]


def test_a_drawn_secret_that_is_told_again_is_kept_sealed(edge: APIClient, settings: Any) -> None:
    """Under an Idempotency-Key the answer comes once more, and no row of the database holds the secret as it is."""
    first = edge.post(f"{WORKERS}/one/rotate", {}, format="json", HTTP_IDEMPOTENCY_KEY="k").json()
    again = edge.post(f"{WORKERS}/one/rotate", {}, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert (again.status_code, again["Idempotency-Replayed"], again.json()) == (200, "true", first)
    assert first["secret"].startswith("whsec_")
    row = IdempotencyKey.objects.get(key="k")
    assert row.body
    assert "whsec_" not in row.body
    assert "secret" not in row.body
    settings.SECRET_KEY = "another key of this installation"
    lost = edge.post(f"{WORKERS}/one/rotate", {}, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert (lost.status_code, lost.json()["error"]) == (409, "secret_unreadable")


def test_scopes_are_asked_for(edge: APIClient) -> None:
    """workers:read sees, workers:write changes; other scopes do neither."""
    _, secret = tokens.create("reader", ["workers:read"])
    reader = APIClient()
    reader.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert reader.get(WORKERS).status_code == 200
    for answer in (
        post(reader, "/api/namespaces", name="more"),
        post(reader, WORKERS, name="two", baseUrl="https://two.example.com"),
        reader.delete(f"{WORKERS}/one"),
        post(reader, f"{WORKERS}/one/rotate"),
    ):
        assert answer.status_code == 403
    _, secret = tokens.create("other", ["plugins:write"])
    reader.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert reader.get(WORKERS).status_code == 403
