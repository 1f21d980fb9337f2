"""Verbs of the marketplace by every role, and what a scope does not give (G08). Pages and routes: tests/access."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, reverse
from rest_framework.test import APIClient

from marketplace import states
from marketplace.api.urls import urlpatterns
from marketplace.models import Release
from tests.marketplace import kit
from zelavis import tokens

pytestmark = pytest.mark.django_db
ROLES = ("anonymous", "plain", "viewer", "member", "curator", "superuser")


@pytest.fixture
def world(db: None) -> dict[str, Any]:
    """A release of one publisher, and a person of each role."""
    publisher, owner = kit.publisher()
    release = kit.submitted(owner)
    people = {
        "plain": kit.person("plain"),
        "viewer": kit.person("viewer", "view_release", "view_plugin", "view_publisher"),
        "member": owner.user,
        "curator": kit.curator().user,
        "superuser": kit.person("root", is_superuser=True),
    }
    return {"release": release, "publisher": publisher, "people": people}


def browser(world: dict[str, Any], role: str) -> Client:
    """Signed in as a role."""
    made = Client()
    if role != "anonymous":
        made.force_login(world["people"][role])
    return made


def arguments(world: dict[str, Any]) -> dict[str, Any]:
    """Values for the parameters of any path."""
    release = world["release"]
    return {
        "name": "save-count",
        "version": "1.0.0",
        "verb": "note",
        "release_id": release.pk,
        "upload_id": "upl_none",
        "slug": "acme",
        "username": "viewer",
        "prefix": "abcdefgh",
        "key_id": "0" * 16,
        "rating_id": 1,
    }


def path_of(pattern: URLPattern, world: dict[str, Any]) -> str:
    """A path that the pattern matches."""
    wanted = pattern.pattern.converters
    values = arguments(world) | ({"verb": "delist"} if pattern.name == "marketplace-plugin-verb" else {})
    return reverse(str(pattern.name), kwargs={name: values[name] for name in wanted})


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("verb", sorted(states.VERBS))
def test_every_verb_by_every_role(world: dict[str, Any], role: str, verb: str) -> None:
    """A verb is done by curators with its permission, or by the publisher where it is the publisher's; nobody else."""
    release = world["release"]
    url = reverse("admin:marketplace_release_verb", args=[release.pk, verb])
    data = {f"revision-{release.pk}": release.revision, f"digest-{release.pk}": release.digest, "reason": "x"}
    answer = browser(world, role).post(url, data)
    meant = states.VERBS[verb]
    if role == "anonymous":
        assert answer.status_code == 302
    elif not meant.permission:
        # The publisher's own verbs: the member lacks the page's view permission and uses the API.
        assert answer.status_code == 403
    elif role in ("curator", "superuser"):
        assert answer.status_code in (302, 409)
    else:
        assert answer.status_code == 403
    release.refresh_from_db()
    if role not in ("curator", "superuser"):
        assert (release.state, release.events.count()) == ("submitted", 1)


def _sent(client: APIClient, method: str, path: str, role: str) -> Any:
    """A request whose body has just the members that the route takes."""
    body = {
        "reason": "x", "slug": "umbra", "name": "x", "username": role, "role": "owner", "state": "suspended",
        "stars": 5, "version": "1.0.0", "publisher": "acme", "public_key": "x", "size": 9, "digest": "0" * 64,
        "plugin": "save-count", "publicKey": "x", "days": 9, "text": "x", "specifier": "https://localhost/x.zip",
    }  # fmt: skip
    if path.endswith("/publishers"):
        body["slug"] = "acme"
    for _ in range(2):
        answer = client.generic(method, path, json.dumps(body).encode(), content_type="application/json")
        problems = answer.json().get("errors", []) if answer.status_code == 400 else []
        for problem in problems:
            body.pop(problem["pointer"].strip("/"), None)
    return answer


@pytest.mark.parametrize("role", ["plain", "viewer", "member"])
@pytest.mark.parametrize("pattern", urlpatterns, ids=lambda pattern: str(pattern.name))
def test_a_scope_is_not_a_permission(world: dict[str, Any], pattern: URLPattern, role: str) -> None:
    """G08: with every scope, somebody without permission or membership changes nothing that is not theirs."""
    if role == "member" and pattern.name in ("marketplace-releases", "marketplace-uploads"):
        pytest.skip("a member publishes")
    if role == "member" and "publishers" in str(pattern.pattern):
        pytest.skip("its own publisher is a member's to change")
    _, secret = tokens.create("every", ["*"], owner=world["people"][role])
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    path = path_of(pattern, world)
    view = pattern.callback.view_class  # type: ignore[attr-defined]
    for method in set(view.scopes) - {"GET"}:
        answer = _sent(client, method, path, role)
        # 400 only where the deed itself is impossible, never for the shape of the body.
        assert answer.status_code in (403, 404, 409, 415), (method, path, answer.content)
    release = Release.objects.get()
    assert (release.state, release.events.count(), release.publisher.state) == ("submitted", 1, "active")
    assert world["publisher"].memberships.count() == 1
    assert not world["publisher"].tokens.exists()
