"""A run that goes on because of one wait, and is told of another meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from runs import inbox, lifecycle, links, records
from runs.errors import NoMatch, NotParked
from runs.manifests import ingesting
from tests.runs.conftest import run, statuses, wake

pytestmark = pytest.mark.django_db


@pytest.fixture
def half(workflow: Any) -> str:
    """A run of which one of three waits is over, and that no worker has taken up."""

    @workflow("three")
    def body(context: Any, given: Any) -> Any:
        token = context.token("boss")
        return context.wait_all(context.event("a"), context.event("b"), token.waitable())

    run_id = str(run("three")["id"])
    inbox.inject(run_id, "EVENT", "a", payload=1)
    assert statuses(run_id) == "running"
    return run_id


def test_an_event_for_all_reaches_a_run_that_goes_on(half: str) -> None:
    """A broadcast is not lost because the run's first wait ended a moment before its second."""
    event = {"name": "b", "emittedAt": "2026-01-01", "data": 2}
    assert ingesting.ingest(event, environment="development", resolve_waiting=True).resolved == 1
    assert ingesting.ingest(event, environment="development", resolve_waiting=True).resolved == 1
    assert Client().post(links.url(half, "boss", expires_at=10**15), {"answer": "approve"}).status_code == 200
    assert Client().post(links.url(half, "boss", expires_at=10**15), {"answer": "reject"}).status_code == 409
    wake()
    assert records.load(half)["output"] == [1, 2, {"approved": True}]


def test_a_driver_in_flight_takes_in_what_came(workflow: Any) -> None:
    """What is resolved while a driver is at work is seen when it parks, and nothing is resolved twice."""

    @workflow("two")
    def body(context: Any, given: Any) -> Any:
        first, second = context.event("a"), context.event("b")
        context.step("begin", lambda: None)
        if "event:a:1" in context._held.resolved and "event:b:2" not in context._held.resolved:
            inbox.inject(context.run_id, "EVENT", "b", payload=2, also_running=True)
            with pytest.raises(NoMatch):
                inbox.inject(context.run_id, "EVENT", "b", payload=3, also_running=True)
        return context.wait_all(first, second)

    run_id = run("two")["id"]
    inbox.inject(run_id, "EVENT", "a", payload=1)
    wake()
    assert records.load(run_id)["output"] == [1, 2]


def test_who_injects_directly_is_refused_as_before(half: str) -> None:
    """The seed's 409 stays for its own routes, and a run that has ended is not parked for anybody."""
    with pytest.raises(NotParked):
        inbox.inject(half, "EVENT", "b")
    lifecycle.cancel(half)
    with pytest.raises(NotParked):
        inbox.inject(half, "EVENT", "b", also_running=True)


def test_a_question_asked_again_can_be_answered_again(tenant: Any, api: Any) -> None:
    """A run that asks for one token twice is answered twice through its link, and not a third time."""

    def handler(request: dict[str, Any]) -> dict[str, Any]:
        journal = request["journal"]
        asked = len(journal["waitpointsResolved"])
        if asked == 2:
            return {"status": "completed", "output": asked, "journal": journal}
        wait = {"clientWaitpointId": f"token:{asked}", "kind": "MANUAL", "meta": {"tokenId": "boss"}}
        return {"status": "waiting", "waitpoints": [wait], "journal": journal}

    tenant.handler = handler
    run_id = api.post("/api/runs", {"workflowId": "x"}, format="json").json()["id"]
    link = links.url(run_id, "boss", expires_at=10**15)
    for _ in range(2):
        assert Client().get(link).status_code == 200
        assert Client().post(link, {"answer": "approve"}).status_code == 200
        wake()
    assert Client().post(link, {"answer": "approve"}).status_code == 409
    assert records.load(run_id)["output"] == 2
