"""Publishing over the API: in one piece, in pieces, and everything that is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from rest_framework.test import APIClient

from marketplace import curation
from marketplace.models import Release
from tests.marketplace import kit
from zelavis import tokens

pytestmark = pytest.mark.django_db


def client(user: Any, *scopes: str) -> APIClient:
    """A client with a token of this person."""
    _, secret = tokens.create(f"of {user}", list(scopes), owner=user)
    made = APIClient()
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return made


def publish(by: APIClient, content: bytes, name: str = "save-count", **headers: str) -> Any:
    """Submit a bundle."""
    path = f"/api/marketplace/plugins/{name}/releases"
    return by.generic("POST", path, content, content_type="application/zip", **headers)


def test_a_bundle_becomes_a_submission_with_findings_and_checks() -> None:
    """The answer says where the release stands and why: state, checks, findings, history and what can be done next."""
    _, owner = kit.publisher()
    by = client(owner.user, "marketplace:publish")
    answer = publish(by, kit.bundle())
    assert answer.status_code == 201, answer.json()
    body = answer.json()
    assert (body["state"], body["auditState"], body["digest"]) == (
        "submitted",
        "passed",
        hashlib.sha256(kit.bundle()).hexdigest(),
    )
    assert {check["outcome"] for check in body["checks"]} == {"pass"}
    assert body["verbs"] == ["withdraw"]
    assert by.get(answer["Location"]).json()["id"] == body["id"]
    assert publish(by, kit.bundle()).json()["id"] == body["id"]


@pytest.mark.parametrize(
    ("content", "status", "code", "rule"),
    [
        (b"", 400, "invalid_body", None),
        (b"hello", 422, "invalid_bundle", "bundle_format"),
        (b"PK\x03\x04" + b"\0" * 40, 422, "invalid_bundle", "zip_framing"),
        (b"\0" * ((4 << 20) + 1), 413, "bundle_too_large", "bundle_size"),
    ],
)
def test_bytes_that_are_no_bundle_are_refused(content: bytes, status: int, code: str, rule: str | None) -> None:
    """A body that is no bundle is a clear 4xx with code and rule, and nothing is stored."""
    _, owner = kit.publisher()
    answer = publish(client(owner.user, "marketplace:publish"), content)
    assert (answer.status_code, answer.json()["error"], answer.json().get("rule")) == (status, code, rule)
    assert not Release.objects.exists()


def test_refusals_name_the_file_and_the_rule() -> None:
    """Each refusal says in which file which rule was broken, with advice."""
    _, owner = kit.publisher()
    by = client(owner.user, "marketplace:publish")
    refused = publish(by, kit.bundle({".env": b"KEY=1"})).json()
    assert (refused["error"], refused["rule"], refused["file"]) == ("release_refused", "secrets.file", ".env")
    assert any(finding["advice"] for finding in refused["findings"])
    broken = publish(by, kit.bundle(version="1.0", extra_member=1)).json()
    assert (broken["error"], broken["file"]) == ("invalid_manifest", "zelavis.plugin.json")
    assert {problem["pointer"] for problem in broken["errors"]} >= {""}
    assert publish(by, kit.bundle(), "other-name").json()["rule"] == "manifest_name_differs"
    assert not Release.objects.exists()


def test_only_people_of_the_publisher_publish() -> None:
    """A token without the scope, of a stranger, or of nobody is refused."""
    _, owner = kit.publisher()
    stranger = kit.person("stranger")
    assert publish(client(stranger, "marketplace:publish"), kit.bundle()).json()["error"] == "not_a_member"
    assert publish(client(owner.user, "marketplace:review"), kit.bundle()).status_code == 403
    assert publish(APIClient(), kit.bundle()).status_code == 401
    _, secret = tokens.create("ci", ["*"])
    nobody = APIClient()
    nobody.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert publish(nobody, kit.bundle()).json()["error"] == "not_a_member"


def test_an_upload_continues_where_it_stopped() -> None:
    """An announced upload takes pieces in order, says where it stands, and becomes a release when it is whole."""
    _, owner = kit.publisher()
    by = client(owner.user, "marketplace:publish")
    content = kit.bundle()
    announced = {
        "plugin": "save-count",
        "publisher": "acme",
        "size": len(content),
        "digest": hashlib.sha256(content).hexdigest(),
    }
    begun = by.post("/api/marketplace/uploads", announced, format="json")
    assert begun.status_code == 201
    path = begun["Location"]

    def piece(offset: int, data: bytes) -> Any:
        kind = "application/octet-stream"
        return by.generic("PATCH", path, data, content_type=kind, HTTP_UPLOAD_OFFSET=str(offset))

    assert piece(0, content[:300]).json()["received"] == 300
    assert piece(0, content[:300]).json()["received"] == 300
    wrong = piece(400, content[400:])
    assert (wrong.status_code, wrong.json()["received"]) == (409, 300)
    assert by.post(f"{path}/finish", {}, format="json").json()["error"] == "upload_offset"
    assert by.post("/api/marketplace/uploads", announced, format="json").json()["received"] == 300
    assert piece(300, content[300:]).json()["progress"] == 1.0
    done = by.post(f"{path}/finish", {}, format="json")
    assert done.status_code == 201
    assert by.post(f"{path}/finish", {}, format="json").json()["id"] == done.json()["id"]
    other = client(kit.person("other"), "marketplace:publish")
    assert other.get(path).status_code == 404


def test_curators_review_over_the_api() -> None:
    """Queue, review and verbs are there over HTTP, with the same rules as on the pages."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    cora = kit.curator()
    by = client(cora.user, "marketplace:review")
    queue = by.get("/api/marketplace/queue").json()["data"]
    assert [row["id"] for row in queue] == [release.pk]
    verb = f"/api/marketplace/releases/{release.pk}"
    assert by.post(f"{verb}/note", {"reason": "Looks fine."}, format="json").status_code == 200
    assert by.post(f"{verb}/approve", {"reason": "Ok."}, format="json").json()["error"] == "invalid_body"
    wrong = by.post(f"{verb}/approve", {"reason": "Ok.", "digest": "0" * 64}, format="json")
    assert wrong.json()["error"] == "digest_mismatch"
    stale = by.post(f"{verb}/reject", {"reason": "No.", "revision": 99}, format="json")
    assert (stale.status_code, stale.json()["error"]) == (409, "review_conflict")
    good = by.post(f"{verb}/approve", {"reason": "Ok.", "digest": release.digest}, format="json")
    assert (good.status_code, good.json()["state"]) == (200, "approved")
    own = client(owner.user, "marketplace:publish")
    seen = own.get("/api/marketplace/plugins/save-count/releases/1.0.0").json()
    assert [event["verb"] for event in seen["events"]] == ["submit", "approve"]
    assert by.get(verb).json()["events"][1]["verb"] == "note"
    assert by.post(f"{verb}/withdraw", {}, format="json").status_code == 404


def test_a_publisher_answers_yanks_and_withdraws_its_own() -> None:
    """Withdraw, resubmit and yank are the publisher's; a stranger's release is not to be found."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    curation.act(release, "request_changes", actor=kit.curator(), reason="Why?")
    by = client(owner.user, "marketplace:publish")
    path = "/api/marketplace/plugins/save-count/releases/1.0.0"
    assert by.post(f"{path}/resubmit", {}, format="json").json()["error"] == "reason_required"
    assert by.post(f"{path}/resubmit", {"reason": "So."}, format="json").json()["state"] == "submitted"
    assert by.post(f"{path}/approve", {"reason": "Me."}, format="json").status_code == 404
    stranger = client(kit.person("stranger"), "marketplace:publish")
    assert stranger.get(path).status_code == 404
    assert stranger.post(f"{path}/withdraw", {}, format="json").status_code == 404
    assert APIClient().get(path).status_code == 404
    assert by.post(f"{path}/withdraw", {}, format="json").json()["state"] == "withdrawn"


def test_a_publisher_keeps_its_people_and_tokens() -> None:
    """Owners add people and make tokens; a maintainer does not; the last owner stays; strangers see no names."""
    kit.person("mia")
    oda = kit.person("oda")
    by = client(oda, "marketplace:publish")
    made = by.post("/api/marketplace/publishers", {"slug": "acme", "name": "Acme"}, format="json")
    assert made.status_code == 201
    path = "/api/marketplace/publishers/acme"
    assert by.post(f"{path}/members", {"username": "mia"}, format="json").status_code == 200
    assert by.delete(f"{path}/members/oda").json()["error"] == "conflict"
    token = by.post(f"{path}/tokens", {"name": "ci", "days": 30}, format="json")
    assert token.status_code == 201, token.json()
    robot = APIClient()
    robot.credentials(HTTP_AUTHORIZATION=f"Bearer {token.json()['token']}")
    assert publish(robot, kit.bundle()).status_code == 201
    assert robot.post(f"{path}/tokens", {"name": "more"}, format="json").json()["error"] == "not_a_member"
    from django.contrib.auth.models import User

    mia = client(User.objects.get(username="mia"), "marketplace:publish")
    assert mia.post(f"{path}/tokens", {"name": "mine"}, format="json").status_code == 403
    assert mia.delete(f"{path}/tokens/{token.json()['prefix']}").status_code == 403
    assert APIClient().get(path).json()["members"] == []
    assert by.delete(f"{path}/tokens/{token.json()['prefix']}").status_code == 200
    assert publish(robot, kit.bundle(version="1.0.1")).status_code in (401, 403)


def test_a_token_for_one_plugin_publishes_no_other() -> None:
    """G14: a token bound to a plugin is refused for another plugin of the same publisher."""
    _, owner = kit.publisher()
    kit.submitted(owner)
    by = client(owner.user, "marketplace:publish")
    body = {"name": "ci", "plugin": "save-count"}
    token = by.post("/api/marketplace/publishers/acme/tokens", body, format="json").json()["token"]
    robot = APIClient()
    robot.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    assert publish(robot, kit.bundle(version="1.0.1")).status_code == 201
    assert publish(robot, kit.bundle(name="other-plugin"), "other-plugin").json()["error"] == "not_a_member"
