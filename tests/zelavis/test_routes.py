"""Plugin routes: who may call them, what reaches the plugin, what it may send back."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from tests.zelavis.plugs import ScriptedAdapter, serve
from tests.zelavis.releases import approved
from zelavis import routes
from zelavis.active import ActiveEntry
from zelavis.adapters.base import Call, CallOutcome
from zelavis.routes import PluginBadResponse

pytestmark = pytest.mark.django_db
ROUTES = [
    {"path": "/", "methods": ["GET"], "public": True},
    {"path": "/open", "methods": ["GET", "POST"], "public": True},
    {"path": "/closed", "methods": ["GET"]},
    {"path": "/items/:id", "methods": ["GET", "DELETE"], "public": True},
]


@pytest.fixture
def alpha(scripted: ScriptedAdapter) -> ScriptedAdapter:
    """A plugin with routes."""
    serve("alpha", routes=ROUTES)
    return scripted


def answers(result: Any) -> Any:
    return lambda entry, call: CallOutcome(status="ok", result=result)


def test_a_private_route_needs_a_token_with_the_scope(alpha: ScriptedAdapter, api: APIClient) -> None:
    """401 without a token, 403 without the scope, and neither asks the plugin; a session cookie counts for nothing."""
    from django.contrib.auth.models import User

    from zelavis import tokens

    alpha.on_call = answers({"json": {"ok": True}})
    assert APIClient().get("/plugins/alpha/closed").status_code == 401
    signed_in = APIClient()
    signed_in.force_login(User.objects.create_superuser("root"))
    assert signed_in.get("/plugins/alpha/closed").status_code == 401
    _, secret = tokens.create("reader", ["plugins:read"])
    narrow = APIClient()
    narrow.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert narrow.get("/plugins/alpha/closed").status_code == 403
    assert alpha.calls == []
    assert api.get("/plugins/alpha/closed").json() == {"ok": True}
    assert alpha.calls[0][1].event["caller"] == {"actor": "token:tests"}


def test_what_the_plugin_sees_of_a_request(alpha: ScriptedAdapter) -> None:
    """Method, path, parameters, query and body; never cookies, authorization or forwarding headers."""
    alpha.on_call = answers({"status": 201, "text": "made"})
    client = APIClient()
    client.cookies["sessionid"] = "secret"
    answer = client.post(
        "/plugins/alpha/open?a=1&a=2&b=",
        {"n": 1},
        format="json",
        HTTP_AUTHORIZATION="Bearer zlv_secret",
        HTTP_X_FORWARDED_FOR="10.0.0.1",
        HTTP_X_REAL_IP="10.0.0.1",
        HTTP_CONNECTION="x-hop",
        HTTP_X_HOP="1",
        HTTP_X_CUSTOM="yes",
        HTTP_PROXY_AUTHORIZATION="secret",
    )
    assert (answer.status_code, answer.content) == (201, b"made")
    event = alpha.calls[0][1].event
    assert (event["method"], event["path"], event["route"]) == ("POST", "/open", "/open")
    assert event["query"] == {"a": ["1", "2"], "b": [""]}
    assert event["body"] == {"json": {"n": 1}}
    assert (event["public"], event["caller"]) == (True, None)
    assert set(event["headers"]) <= {"content-type", "x-custom", "accept", "user-agent"}
    assert "secret" not in str(event)


@pytest.mark.parametrize(
    ("content_type", "raw", "seen"),
    [
        ("application/json", b'{"a":1}', {"json": {"a": 1}}),
        ("text/plain; charset=utf-8", "é".encode(), {"text": "é"}),
        ("application/x-www-form-urlencoded", b"a=1", {"text": "a=1"}),
        ("application/octet-stream", b"\x00\xff", {"base64": base64.b64encode(b"\x00\xff").decode()}),
        ("image/png", b"", None),
    ],
)
def test_bodies_by_their_content_type(alpha: ScriptedAdapter, content_type: str, raw: bytes, seen: Any) -> None:
    """JSON as a value, text as text, anything else as base64."""
    APIClient().generic("POST", "/plugins/alpha/open", raw, content_type=content_type)
    assert alpha.calls[0][1].event["body"] == seen


def test_methods_paths_and_sizes(alpha: ScriptedAdapter) -> None:
    """404, 405 with Allow, 413 for too much, 400 for false JSON: none of them asks the plugin."""
    client = APIClient()
    assert client.get("/plugins/alpha/none").json()["error"] == "plugin_route_not_found"
    assert client.get("/plugins/alpha/items/1/more").status_code == 404
    assert client.get("/plugins/nobody/open").json()["error"] == "unknown_plugin"
    refused = client.put("/plugins/alpha/items/1")
    assert (refused.status_code, refused["Allow"]) == (405, "DELETE, GET")
    large = client.generic("POST", "/plugins/alpha/open", b"x" * (routes.MAX_BODY + 1), content_type="text/plain")
    assert large.status_code == 413
    assert client.generic("POST", "/plugins/alpha/open", b"{", content_type="application/json").status_code == 400
    assert alpha.calls == []


def test_parameters_and_head(alpha: ScriptedAdapter) -> None:
    """A part of the path becomes a parameter; HEAD is GET without a body; the root path is a route like others."""
    alpha.on_call = answers({"json": [1, 2]})
    answer = APIClient().head("/plugins/alpha/items/7")
    assert (answer.status_code, answer.content) == (200, b"")
    assert alpha.calls[0][1].event["params"] == {"id": "7"}
    assert APIClient().get("/plugins/alpha/").status_code == 200


def test_what_a_plugin_may_not_send(alpha: ScriptedAdapter) -> None:
    """No cookies, no policy of its own, no script in this origin."""
    alpha.on_call = answers(
        {
            "headers": {
                "Set-Cookie": "sessionid=evil",
                "Content-Security-Policy": "default-src *",
                "Access-Control-Allow-Origin": "*",
                "Content-Type": "text/html",
                "X-Plugin-Note": "hi",
                "Clear-Site-Data": "*",
            },
            "text": "<script>alert(1)</script>",
        }
    )
    answer = APIClient().get("/plugins/alpha/open")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Plugin-Note"] == "hi"
    assert answer.headers["Content-Type"] == "text/html"
    assert not {"Set-Cookie", "Access-Control-Allow-Origin", "Clear-Site-Data"} & set(answer.headers)
    assert not answer.cookies


@pytest.mark.parametrize(
    "result",
    [
        None,
        [],
        "text",
        {"status": 101},
        {"status": "200"},
        {"status": True},
        {"text": 5},
        {"base64": "***"},
        {"json": 1, "text": "2"},
        {"headers": []},
        {"headers": {"location": "javascript:alert(1)"}},
        {"headers": {"location": "//evil.example"}},
        {"headers": {"etag": "a\nb"}},
        {"headers": {"etag": 5}},
    ],
)
def test_an_answer_that_is_none_is_502(alpha: ScriptedAdapter, result: Any) -> None:
    """What cannot be sent is not sent in part."""
    alpha.on_call = answers(result)
    answer = APIClient().get("/plugins/alpha/open")
    assert (answer.status_code, answer.json()["error"]) == (502, "plugin_bad_response")


def test_a_failing_plugin_is_told_without_its_insides(alpha: ScriptedAdapter) -> None:
    """502 with the id under which an operator finds why; after five failures the plugin rests with 503."""
    alpha.on_call = lambda entry, call: CallOutcome(status="trap", error_message="stack and secrets")
    for _ in range(5):
        answer = APIClient().get("/plugins/alpha/open")
        assert (answer.status_code, answer.json()["error"]) == (502, "plugin_failed")
        assert "secrets" not in answer.content.decode()
        assert answer.json()["invocation"].startswith("inv_")
    answer = APIClient().get("/plugins/alpha/open")
    assert (answer.status_code, answer.json()["error"]) == (503, "plugin_resting")
    assert answer["Retry-After"]


def test_a_real_plugin_answers_at_its_route(api: APIClient, tmp_path: Path) -> None:
    """Through marketplace, activation and sandbox to the response."""
    approved(tmp_path)
    api.post("/api/plugins/counter/install", {}, format="json")
    answer = api.get("/plugins/counter/stats", HTTP_COOKIE="a=b")
    assert answer.status_code == 200, answer.content
    assert answer.json()["saves"] is None
    assert not {"cookie", "authorization"} & set(answer.json()["seen"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
MEMBERS = st.dictionaries(st.sampled_from(["status", "headers", "json", "text", "base64", "x"]), JSON, max_size=5)


@given(JSON | MEMBERS)
def test_any_answer_is_a_response_or_refused(answer: Any) -> None:
    """Whatever a plugin returns ends as a checked response or as PluginBadResponse, never as another error."""
    try:
        told = routes.response_of(answer)
    except PluginBadResponse:
        return
    assert 200 <= told.status <= 599
    assert isinstance(told.body, bytes)
    assert all("\n" not in value and "\r" not in value for value in told.headers.values())
    assert "set-cookie" not in told.headers


def test_a_call_is_one_of_a_chain(alpha: ScriptedAdapter) -> None:
    """What a route sets off is one deeper than the request."""
    from zelavis.hooks import chain

    depths: list[int] = []

    def on_call(entry: ActiveEntry, call: Call) -> CallOutcome:
        depths.append(chain.current().depth)
        return CallOutcome(status="ok", result={})

    alpha.on_call = on_call
    APIClient().get("/plugins/alpha/open")
    assert depths == [1]
