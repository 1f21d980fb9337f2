"""Queries that only somebody with bad intent, or a broken client, sends."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from runs import lifecycle, links
from tests.runs.conftest import run

pytestmark = pytest.mark.django_db
ZEROS = "0" * 20


@pytest.mark.parametrize("name", ["createdFrom", "createdTo", "limit"])
@pytest.mark.parametrize("digits", ["9" * 30, "9" * 4999, ""])
def test_numbers_with_zeros_before_them(api: Any, name: str, digits: str) -> None:
    """Leading zeros do not carry a number past its limits: 400, and no error of ours."""
    answer = api.get("/api/runs", {name: ZEROS[:19] + "1" + digits})
    assert answer.status_code == (400 if digits else 200)


def test_zeros_do_not_make_a_link_last_longer(api: Any) -> None:
    """A signed link is good for 30 days at most, however its seconds are written."""
    made = run("greet")["id"]
    assert api.get(f"/api/runs/{made}/links", {"validSeconds": ZEROS[:19] + "1" + "9" * 12}).status_code == 400


@pytest.mark.parametrize("raw", ["[" * 2500, '[1,"\\ud800"]', '[1,"\\u0000"]', "[1]", "{}", "1" * 5000])
def test_cursors_that_no_list_gave(api: Any, raw: str) -> None:
    """A cursor that was made up is a 400, whatever is in it."""
    made = base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")
    assert api.get("/api/runs", {"cursor": made}).status_code == 400


@pytest.mark.parametrize("at", [8_640_000_000_000_000, 253_402_300_799_999])
def test_a_run_of_the_far_future_leaves_the_admin_open(admin_client: Any, at: int) -> None:
    """One run that sleeps beyond the year 9999 hides no other: the list, its page and its log are shown."""
    made = lifecycle.trigger("greet", delay_until=at, deadline=at).run_id
    for path in ("", f"{made}/change/", f"{made}/log/"):
        assert admin_client.get(f"/admin/runs/run/{path}").status_code == 200


def test_a_payload_that_is_no_json_is_told_in_the_admin(admin_client: Any, workflow: Any) -> None:
    """``NaN``, which a lenient parser takes, is refused with a message, and the run waits on."""
    workflow("asks")(lambda context, given: context.wait_for_event("go"))
    made = run("asks")
    form = {"run": made["id"], "waitpoint": made["pendingWaitpoints"][0]["clientWaitpointId"], "payload": "NaN"}
    answer = admin_client.post("/admin/runs/run/resolve/", form, follow=True)
    assert b"not valid JSON" in answer.content


def test_a_link_of_the_far_past_is_over(client: Any) -> None:
    """A signed link whose time is negative is refused like one that ended yesterday."""
    assert client.get(links.url("x", "t", expires_at=-(10**18))).status_code == 403


@pytest.mark.parametrize("tags", [5, True, {"a": 1}, [{"a": 1}, 5, [1]], "abc"])
def test_tags_of_any_form(api: Any, admin_client: Any, workflow: Any, tags: Any) -> None:
    """A trigger takes any tags, as the seed does; the run is then shown and resumed like others."""

    @workflow("fails")
    def body(context: Any, given: Any) -> None:
        context.step("a", lambda: 1 // 0)

    made = api.post("/api/runs", {"workflowId": "fails", "tags": tags}, format="json").json()["id"]
    assert admin_client.get(f"/admin/runs/run/{made}/change/").status_code == 200
    answer = api.post(f"/api/runs/{made}/resume", {"tags": ["x", "x"]}, format="json")
    assert answer.status_code == 200
    kept = tags if isinstance(tags, list) else []
    assert answer.json()["saved"]["tags"] == [*kept, "resume:true", f"parentRunId:{made}", "x"]


def test_an_empty_step_is_no_step_to_resume_from(api: Any, workflow: Any) -> None:
    """``resumeFromStep: ""`` is refused as by the seed, and starts nothing."""
    workflow("fails")(lambda context, given: context.step("a", lambda: 1 // 0))
    made = run("fails")["id"]
    answer = api.post(f"/api/runs/{made}/resume", {"resumeFromStep": ""}, format="json")
    assert (answer.status_code, answer.json()["error"]) == (400, "resume_failed")
