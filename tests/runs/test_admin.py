"""The admin of durable runs, as a person uses it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from runs import lifecycle, records
from runs.admin.pages import quoted
from runs.models import Run
from tests.runs.conftest import run as drive
from tests.runs.conftest import wake
from zelavis import roles


@pytest.fixture
def browser(db: None) -> Client:
    """A superuser's session."""
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    return client


def page(client: Client, run_id: str) -> str:
    """A run's page."""
    answer = client.get(reverse("admin:runs_run_change", args=[quoted(run_id)]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_runs_page_tells_its_story(browser: Client) -> None:
    """The page of a waiting run shows status, why, timeline with the step and the wait, and its input, escaped."""
    record = drive("greet", input={"name": "<b>Ada</b>"}, tags=["vip"])
    text = page(browser, record["id"])
    for part in ("It waits for a time", "greet triggered", "step prepare done", "waits for a time", "vip"):
        assert part in text
    assert "<b>Ada" not in text
    assert "&lt;b&gt;Ada" in text


def test_the_list_finds_runs_by_id_and_tag(browser: Client) -> None:
    """The list shows runs with their state and finds them by the beginning of an id or a whole tag."""
    first, second = drive("greet", run_id="one", tags=["red"]), drive("greet", run_id="two")
    listed = browser.get("/admin/runs/run/").content.decode()
    assert "one" in listed
    assert "two" in listed
    for term, there, away in (("red", first, second), ("tw", second, first)):
        found = browser.get("/admin/runs/run/", {"q": term}).content.decode()
        assert quoted(there["id"]) + "/change" in found
        assert quoted(away["id"]) + "/change" not in found


def test_wake_resolve_and_cancel_are_buttons(browser: Client, workflow: Any) -> None:
    """Wake ends a sleep, Resolve answers an event with JSON, and a wrong payload changes nothing."""
    run_id = drive("greet")["id"]
    browser.post(reverse("admin:runs_run_verb", args=["wake"]), {"run": run_id})
    wake()
    assert "<code>greet</code>" in browser.get(reverse("admin:runs_run_waiting")).content.decode()
    form = {"run": run_id, "waitpoint": "event:greet:2", "payload": "{nope"}
    refused = browser.post(reverse("admin:runs_run_resolve"), form, follow=True)
    assert "not valid JSON" in refused.content.decode()
    assert records.load(run_id)["status"] == "waiting"
    browser.post(reverse("admin:runs_run_resolve"), {**form, "payload": '{"from": "Bob"}'})
    wake()
    assert records.load(run_id)["output"]["text"].endswith("from Bob.")
    other = drive("greet")["id"]
    browser.post(reverse("admin:runs_run_verb", args=["cancel"]), {"run": other, "reason": "enough"})
    assert records.load(other)["error"]["message"] == "enough"
    assert "cancelled" in page(browser, other)


def test_a_paused_run_says_so_and_goes_on(browser: Client) -> None:
    """Pause keeps a run where it is, its page says why, and Unpause lets it go on."""
    run_id = drive("greet")["id"]
    browser.post(reverse("admin:runs_run_verb", args=["pause"]), {"run": run_id})
    assert "Somebody paused it" in page(browser, run_id)
    assert Run.objects.get(pk=run_id).wake_at is None
    browser.post(reverse("admin:runs_run_verb", args=["unpause"]), {"run": run_id})
    assert Run.objects.get(pk=run_id).wake_at is not None


def test_dead_runs_are_grouped_by_cause_and_resumed_together(browser: Client, workflow: Any) -> None:
    """Runs that failed of the same are one group, and one button resumes them all as new runs."""

    @workflow("test-dies")
    def dies(context: Any, given: Any) -> None:
        context.step("bad", lambda: 1 / 0)

    for _ in range(3):
        assert drive("test-dies")["status"] == "failed"
    text = browser.get(reverse("admin:runs_run_dead")).content.decode()
    assert "division by zero" in text
    from runs.admin import pages

    (group,) = pages.dead()
    assert group.count == 3
    browser.post(reverse("admin:runs_run_dead"), {"group": group.key})
    assert Run.objects.filter(workflow_id="test-dies").count() == 6


def test_only_an_operator_steers(db: None) -> None:
    """A viewer sees runs but finds no buttons, and a forged form is refused; an operator may."""
    roles.synchronize()
    viewer = User.objects.create_user("viewer", password="x", is_staff=True)
    viewer.groups.add(Group.objects.get(name="viewer"))
    run_id = lifecycle.trigger("greet").run_id
    client = Client()
    client.force_login(viewer)
    assert "Cancel the run" not in page(client, run_id)
    assert client.post(reverse("admin:runs_run_verb", args=["cancel"]), {"run": run_id}).status_code == 403
    viewer.groups.set([Group.objects.get(name="operator")])
    client.force_login(User.objects.get(pk=viewer.pk))
    assert "Cancel the run" in page(client, run_id)
    assert client.post(reverse("admin:runs_run_verb", args=["cancel"]), {"run": run_id}).status_code == 302
    assert records.load(run_id)["status"] == "cancelled"


def test_a_dispatchers_secret_is_written_and_never_shown(browser: Client) -> None:
    """A dispatcher over the network needs a secret; it is stored sealed and is on no page."""
    from runs.dispatchers import choose
    from runs.models import Dispatcher

    fields = {"name": "t", "kind": "http", "url": "http://t.example/", "timeout_seconds": "5", "enabled": "on"}
    refused = browser.post("/admin/runs/dispatcher/add/", fields)
    assert "give the secret" in refused.content.decode()
    assert browser.post("/admin/runs/dispatcher/add/", {**fields, "new_secret": "hush-hush"}).status_code == 302
    row = Dispatcher.objects.get()
    assert "hush" not in row.secret
    assert "hush" not in browser.get(f"/admin/runs/dispatcher/{row.pk}/change/").content.decode()
    found: Any = choose.choose("anything", "default")
    assert (found.secret, found.url) == ("hush-hush", "http://t.example")
    choose.forget()


def test_a_resumed_run_has_a_page(browser: Client, workflow: Any) -> None:
    """The button leads to the new run, whose page names and links the one it comes from, and who cancelled it."""

    @workflow("test-again")
    def body(context: Any, given: Any) -> Any:
        context.step("a", lambda: 1)
        context.step("b", lambda: 1 / 0)

    record = drive("test-again")
    answer = browser.post("/admin/runs/run/verb/resume/", {"run": record["id"], "step": "b"}, follow=True)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "goes on from there" in text
    assert f'Resumed from</dt><dd><a href="/admin/runs/run/{quoted(record["id"])}/change/"' in text
    resumed = Run.objects.exclude(pk=record["id"]).get().pk
    lifecycle.cancel(resumed, actor="user:ann")
    assert "cancelled by user:ann" in page(browser, resumed)


def test_a_detached_run_has_a_page(browser: Client, workflow: Any) -> None:
    """It names and links the run that started it."""
    workflow("test-kid")(lambda context, given: 1)
    workflow("test-starts")(lambda context, given: context.invoke("test-kid", detach=True))
    record = drive("test-starts")
    kid = Run.objects.get(workflow_id="test-kid").pk
    assert f'Started by</dt><dd><a href="/admin/runs/run/{quoted(record["id"])}/change/"' in page(browser, kid)
