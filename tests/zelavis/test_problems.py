"""Errors on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from zelavis import errors
from zelavis.api import problems

MEMBERS = {"type", "title", "status", "detail", "instance", "requestId", "error", "message"}


def test_every_error_has_the_members_of_both_worlds() -> None:
    """An error carries the members of RFC 9457, the request id, and the seeds' error and message."""
    body = problems.body(errors.NotFound(extra=1), "/api/x")
    assert set(body) == MEMBERS | {"extra"}
    assert body["error"] == "not_found"
    assert body["message"] == body["detail"] == "There is nothing here under this name."


def test_an_unknown_route_is_a_problem(client: Client) -> None:
    """A path under /api/ that leads nowhere is a 404 in the API's shape, with a request id."""
    answer = client.get("/api/nowhere")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert set(answer.json()) >= MEMBERS
    assert answer.json()["error"] == "route_not_found"
    assert answer.json()["requestId"] == answer["X-Request-ID"]


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_3", True), ("a" * 81, False), ("a b", False), ("a\tb", False), ("é", False)]
)
def test_a_harmless_request_id_is_kept(client: Client, given: str, kept: bool) -> None:
    """The caller's request id is used when it can do no harm in a log, and replaced otherwise."""
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert (answer["X-Request-ID"] == given) is kept
    assert answer["X-Request-ID"]


def test_an_error_from_below_keeps_its_code() -> None:
    """An exception with code, status and message of its own is answered with them, whatever its class."""

    class FromTheSandbox(Exception):
        code, status, message, members = "artifact_missing", 404, "Gone.", {"digest": "x"}

    error = problems.from_exception(FromTheSandbox())
    assert (error.code, error.status, error.message, error.members) == (
        "artifact_missing",
        404,
        "Gone.",
        {"digest": "x"},
    )
    assert errors.ZelavisError.code == "internal_error"


def test_an_unknown_exception_tells_nothing() -> None:
    """What nobody expected is a 500 without a word of what it was."""
    error = problems.from_exception(RuntimeError("secret /etc/path"))
    assert error.status == 500
    assert "secret" not in str(problems.body(error, "/"))


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("application/json", "{", 400, "invalid_json"),
        ("application/json", '{"a": NaN}', 400, "invalid_json"),
        ("text/plain", "hello", 415, "unsupported_media_type"),
        ("application/json", '"' + "x" * (1 << 20) + '"', 413, "payload_too_large"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(api: Any, content_type: str, body: str, status: int, code: str) -> None:
    """Broken, mistyped and oversize bodies are each refused with their own code."""
    answer = api.post("/api/hooks/content:afterSave", data=body, content_type=content_type)
    assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_pages_carry_the_content_policy(client: Client, db: None) -> None:
    """Every page forbids inline script and style, framing, and loading from elsewhere."""
    policy = client.get("/admin/login/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
