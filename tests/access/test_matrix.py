"""Every page, verb and action of the admin and every route, by everybody: as the table says, and nothing else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db import transaction
from django.test import RequestFactory
from django.urls import URLPattern, reverse
from rest_framework.test import APIClient

from tests.access import matrix
from tests.access.world import World, admin_names, first, patterns, rights
from zelavis import registry, tokens

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def filled(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The filled platform, made once; what each test does to it is rolled back."""
    with django_db_blocker.unblock(), rolled_back():
        yield World(tmp_path_factory.mktemp("bundles"))


@contextlib.contextmanager
def rolled_back() -> Iterator[None]:
    """Nothing of the block stays."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    registry.forget_snapshot()


@pytest.fixture
def world(filled: World) -> Iterator[World]:
    """The filled platform, for one test."""
    with rolled_back():
        yield filled


def test_the_table_names_everything_there_is() -> None:
    """A page, model, action or route without a line fails here, and so does a line without its page."""
    pages = set(admin_names()) - matrix.OPEN
    assert {name for name in pages if rights(name) is None} == set()
    assert set(matrix.PAGES) <= pages
    assert {model._meta.label_lower for model in admin.site._registry} == set(matrix.MODELS)
    assert {str(pattern.name) for pattern in patterns()} == set(matrix.ROUTES) | matrix.PUBLIC_PAGES


def expected(role: str, allowed: frozenset[str]) -> str:
    if role in allowed:
        return "in"
    return "login" if role == "anonymous" else "refused"


def outcome(answer: Any) -> str:
    """``in``, ``login`` or ``refused``; 405 and 404 to a method are refusals too."""
    if answer.status_code == 302 and "/admin/login/" in answer["Location"]:
        return "login"
    return "refused" if answer.status_code in (403, 404, 405) else "in"


@pytest.mark.parametrize("role", matrix.ROLES)
def test_who_sees_which_page(world: World, role: str) -> None:
    """A GET opens the page or is refused, as the table says; it changes nothing, whoever looks."""
    client, before = world.browser(role), world.state()
    wrong = []
    for name in admin_names():
        allowed = rights(name)
        if allowed is None:
            continue
        answer = client.get(world.page(name))
        answer.close()
        if answer.status_code >= 500 or outcome(answer) != expected(role, allowed[0]):
            wrong.append((name, role, answer.status_code))
    assert wrong == [], wrong
    assert world.state() == before


@pytest.mark.parametrize("role", matrix.ROLES)
def test_who_may_send_which_form(world: World, role: str) -> None:
    """A POST is taken or refused as the table says; refused ones change no row at all: nobody edits a state by hand."""
    client, before = world.browser(role), world.state()
    data = world.form()
    wrong = []
    for name in admin_names():
        allowed = rights(name)
        if allowed is None or (name.endswith("_changelist") and role in allowed[1]):
            continue
        # What is refused is not rolled back: had it written something, the fingerprint would tell.
        with rolled_back() if role in allowed[1] else contextlib.nullcontext():
            answer = client.post(world.page(name), data)
        if answer.status_code >= 500 or (outcome(answer) == "in") != (role in allowed[1]):
            # A page that only looks may answer a POST by showing itself; then nothing has changed.
            if not allowed[1] and role in allowed[0] and answer.status_code == 200:
                continue
            wrong.append((name, role, answer.status_code))
    assert wrong == [], wrong
    assert world.state() == before


@pytest.mark.parametrize("role", matrix.ROLES)
def test_who_may_use_which_action(world: World, role: str) -> None:
    """A list offers exactly the table's actions, and a forged one changes nothing."""
    client, before = world.browser(role), world.state()
    for model, page in admin.site._registry.items():
        label = model._meta.label_lower
        told = matrix.ACTIONS.get(label, {})
        request = RequestFactory().get("/")
        if role != "anonymous":
            request.user = type(world.people[role]).objects.get(pk=world.people[role].pk)
            assert set(page.get_actions(request)) == {name for name, who in told.items() if role in who}, label
        for action in {*told, "delete_selected"}:
            if role not in told.get(action, ()):
                chosen = {"action": action, "_selected_action": [first(label).pk], "post": "yes"}
                client.post(reverse(f"admin:{label.replace('.', '_')}_changelist"), chosen)
    assert world.state() == before


def test_no_form_is_taken_from_another_site(world: World) -> None:
    """Every POST of the admin needs the token of its page, also a superuser's (G07)."""
    client, before = world.browser("root", enforce_csrf_checks=True), world.state()
    for name in admin_names():
        if rights(name) is not None or name in ("login", "logout"):
            assert client.post(world.page(name), {"post": "yes"}).status_code == 403, name
    assert world.state() == before


def view_of(pattern: URLPattern) -> Any:
    return getattr(pattern.callback, "view_class", None)


@pytest.mark.parametrize("pattern", patterns(), ids=lambda pattern: str(pattern.name))
def test_every_route_says_what_the_table_says(pattern: URLPattern) -> None:
    """The scopes that a view names are the table's, and no method of it is without one."""
    view = view_of(pattern)
    if not hasattr(view, "scopes"):
        assert pattern.name in matrix.PUBLIC_PAGES
        return
    methods = {name.upper() for name in ("get", "post", "put", "patch", "delete") if hasattr(view, name)}
    assert {name: view.scopes[name] for name in methods} == matrix.ROUTES[str(pattern.name)]


def test_without_a_token_only_the_public_is_open(world: World) -> None:
    """No token: 401 with how to sign in, on everything that is not public; and nothing has changed."""
    before = world.state()
    client = APIClient(raise_request_exception=False)
    for pattern in patterns():
        for method, scope in matrix.ROUTES.get(str(pattern.name), {}).items():
            if scope != "public":
                answer = client.generic(method, world.route(pattern), b"{}", content_type="application/json")
                assert answer.status_code == 401, (method, pattern.name)
                assert answer["WWW-Authenticate"].startswith("Bearer")
            else:
                with rolled_back():
                    assert client.generic(method, world.route(pattern)).status_code in (200, 404), pattern.name
    assert world.state() == before


@pytest.mark.parametrize("scope", sorted(tokens.SCOPES))
def test_a_token_opens_what_its_scope_says(world: World, scope: str) -> None:
    """Every route of the scope is open to a token of it alone, every other is a 403, and those change nothing."""
    _, only = tokens.create("only", [scope], owner=world.people["root"])
    before = world.state()
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {only}")
    wrong = []
    for pattern in patterns():
        for method, needed in matrix.ROUTES.get(str(pattern.name), {}).items():
            opens = needed in ("public", scope)
            if needed == "public" and scope != "metrics:read":
                # That a token closes nothing is seen with one; the others would only repeat the largest pages.
                continue
            if opens and str(pattern.name).endswith("-stream"):
                continue
            with rolled_back() if opens else contextlib.nullcontext():
                answer = client.generic(method, world.route(pattern), b"{}", content_type="application/json")
            # A person without the right is refused too, but not for the scope.
            refused = answer.status_code == 401 or (answer.status_code == 403 and "scope" in answer.json())
            if refused == opens or answer.status_code >= 500:
                wrong.append((method, str(pattern.name), answer.status_code))
    assert wrong == [], wrong
    assert world.state() == before


def test_methods_that_a_route_lacks_are_refused(world: World) -> None:
    """A token of every scope changes nothing by a method that the table does not name; it is told which there are."""
    _, secret = tokens.create("all", ["*"], owner=world.people["root"])
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    before, wrong = world.state(), []
    for pattern in patterns():
        known = matrix.ROUTES.get(str(pattern.name))
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - set(known or ()):
            if known is None:
                continue
            answer = client.generic(method, world.route(pattern), b"{}", content_type="application/json")
            # The seed's clients know 400 and 404 for a method that a route of runs does not take.
            seed = world.route(pattern).startswith(("/api/runs", "/api/events", "/api/manifests", "/api/schedules"))
            if not (answer.status_code in (400, 404, 405) if seed else answer.status_code == 405 and answer["Allow"]):
                wrong.append((method, str(pattern.name), answer.status_code))
    assert wrong == [], wrong
    assert world.state() == before


def test_a_tenant_sees_and_steers_its_own_runs_alone(world: World) -> None:
    """A token of one tenant gets 404 for a run of another on every route, and nothing of it in any list."""
    _, secret = tokens.create("theirs", ["*"], tenant="default")
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    theirs, before = world.rows["theirs"], world.state()
    for pattern in patterns():
        if "run_id" not in pattern.pattern.converters or pattern.name == "run-unknown":
            continue
        for method in matrix.ROUTES[str(pattern.name)]:
            body = {"eventType": "greet", "name": "greet", "payload": 1}
            answer = client.generic(method, world.route(pattern), json.dumps(body), content_type="application/json")
            told = b"".join(answer) if answer.streaming else answer.content
            seed = pattern.name in ("run-events", "run-signals") and method == "GET"
            assert answer.status_code == (400 if seed else 404), (method, pattern.name, answer.status_code)
            assert b"secret-of-the-other-tenant" not in told
    bulk = client.post("/api/runs/bulk", {"action": "cancel", "runIds": [theirs]}, format="json")
    assert bulk.json()["done"] == []
    for query in ("", "?tenant=other", "?workflowId=greet"):
        assert theirs not in client.get(f"/api/runs{query}").content.decode()
    forged = {"workflowId": "greet", "tenantMeta": {"tenantId": "other"}}
    assert client.post("/api/runs", forged, format="json").status_code == 403
    assert world.state() == before


def test_a_publisher_sees_and_changes_its_own_alone(world: World) -> None:
    """A publisher's token finds another's unseen release nowhere, and no route lets it change anything of the other."""
    from django.contrib.auth.models import User

    _, secret = tokens.create("olga", ["marketplace:publish"], owner=User.objects.get(username="olga"))
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    before = world.state()
    hidden = "/api/marketplace/plugins/umbra-secret"
    for path in ("", "/releases", "/releases/1.0.0", "/releases/1.0.0/bundle", "/ratings"):
        answer = client.get(hidden + path)
        assert answer.status_code == 404, path
        assert b"Not shown yet" not in answer.content
    assert b"umbra-secret" not in client.get("/api/marketplace/publishers/umbra").content
    reason = {"reason": "mine now"}
    for method, path, body in (
        ("POST", f"{hidden}/releases/1.0.0/withdraw", reason),
        ("POST", f"{hidden}/releases", {"specifier": "https://localhost/x.zip"}),
        ("POST", f"{hidden}/transfer", {"publisher": "acme", "reason": "mine now"}),
        ("POST", "/api/marketplace/publishers/umbra/members", {"username": "olga", "role": "owner"}),
        ("DELETE", "/api/marketplace/publishers/umbra/members/olaf", {}),
        ("POST", "/api/marketplace/publishers/umbra/tokens", {"name": "x"}),
        ("POST", "/api/marketplace/publishers/umbra/keys", {"publicKey": "A" * 43 + "="}),
    ):
        answer = client.generic(method, path, json.dumps(body), content_type="application/json")
        assert answer.status_code in (403, 404), (method, path, answer.content)
    assert world.state() == before
