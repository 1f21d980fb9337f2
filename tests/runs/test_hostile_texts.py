"""Texts that a database cannot hold, wherever a caller can put one: a 4xx and nothing changed, never a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runs import lifecycle
from runs.models import Run

pytestmark = pytest.mark.django_db
NUL, LONG = "a\x00b", "x" * 5000


@pytest.fixture(autouse=True)
def _workflows(workflow: Any) -> None:
    @workflow("odd")
    def odd(context: Any, given: Any) -> Any:
        return context.wait_for_event("e")

    @workflow("broken")
    def broken(context: Any, given: Any) -> Any:
        context.step("s", lambda: 1 / 0)


@pytest.mark.parametrize("text", [NUL, LONG, "\ud800"])
@pytest.mark.parametrize(
    "member",
    ["workflowId", "workflowVersion", "runId", "environment", "tags", "idempotencyKey", "tenantMeta", "concurrency"],
)
def test_in_a_trigger(api: Any, member: str, text: str) -> None:
    """Every member that becomes a column is checked; tags, which the seed takes as they are, are kept."""
    odd: Any = {"tags": [text], "tenantMeta": {"tenantId": text}, "concurrency": {"key": text}}.get(member, text)
    answer = api.post("/api/runs", json.dumps({"workflowId": "odd", member: odd}), content_type="application/json")
    assert answer.status_code in ((200, 400) if member == "tags" else (400, 404)), answer.content[:300]
    assert Run.objects.count() == (1 if answer.status_code == 200 else 0)


@pytest.mark.parametrize("text", [NUL, LONG])
@pytest.mark.parametrize(
    "member", ["runId", "workflowId", "resumeFromStep", "seedResults", "tags", "triggeredByUserId"]
)
def test_in_a_resume(api: Any, member: str, text: str) -> None:
    """As in a trigger."""
    api.post("/api/runs", json.dumps({"workflowId": "broken", "runId": "parent"}), content_type="application/json")
    odd: Any = {"tags": [text], "seedResults": {text: 1}}.get(member, text)
    answer = api.post("/api/runs/parent/resume", json.dumps({member: odd}), content_type="application/json")
    assert answer.status_code in (200, 400, 404), answer.content[:300]
    if member in ("runId", "workflowId", "seedResults"):
        assert Run.objects.count() == 1


@pytest.mark.parametrize("text", [NUL, LONG, "\ud800"])
def test_in_an_injection(api: Any, text: str) -> None:
    """Names of events and signals, tokens, keys and payloads."""
    lifecycle.trigger("odd", run_id="r")
    for path, body in (
        ("events", {"eventType": text}),
        ("signals", {"name": text}),
        ("events", {"eventType": "e", "payload": text}),
    ):
        for query in ("", "?deliver=buffer"):
            answer = api.post(f"/api/runs/r/{path}{query}", json.dumps(body), content_type="application/json")
            assert answer.status_code < 500, answer.content[:300]


@pytest.mark.parametrize("path", ["", "/journal", "/why", "/timeline", "/receipts", "/links", "/stream"])
def test_in_a_path(api: Any, path: str) -> None:
    """A run that cannot be has no page."""
    assert api.get(f"/api/runs/a%00b{path}").status_code in (400, 404)
    assert api.post("/api/runs/a%00b/cancel", json.dumps({}), content_type="application/json").status_code in (400, 404)
    assert api.post("/api/runs/a%00b/tokens/a%00b", json.dumps({}), content_type="application/json").status_code in (
        400,
        404,
    )


@pytest.mark.parametrize("name", ["workflowId", "tag", "tenant", "parent", "cursor"])
def test_in_a_filter(api: Any, name: str) -> None:
    """A filter that nothing can match finds nothing."""
    for path in ("/api/runs",):
        answer = api.get(path, {name: NUL})
        assert answer.status_code in (200, 400), answer.content[:300]
