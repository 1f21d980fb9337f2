"""Content as a source of hooks: signals, the admin's forms, deliveries, what plugins write themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.flatpages.models import FlatPage
from django.db import transaction
from django.test import Client
from django.utils import timezone

from sandbox.call import Call as SandboxCall
from sandbox.capabilities.content import SOURCES, InvalidContent
from sandbox.models import Invocation
from tests.zelavis.plugs import ScriptedAdapter, serve
from zelavis import hooks
from zelavis.active import ActiveEntry
from zelavis.adapters.base import Call, CallOutcome
from zelavis.errors import HookInTransaction, HookRejected
from zelavis.hooks import chain, events
from zelavis.hooks.sources import models
from zelavis.models import HookEvent

SAVE, READ = "content:beforeSave", {"content:read": {"reason": "r"}}
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def page() -> FlatPage:
    """A page that is there."""
    page = FlatPage.objects.create(url="/a/", title="A", content="one two")
    page.sites.add(1)
    return page


@pytest.fixture
def browser() -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("ann", "ann@example.com", "pw"))
    return client


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    """The registry's revision goes with the tables; what this process holds has to go too."""
    yield
    from zelavis import registry

    registry.forget_snapshot()


def reject(entry: ActiveEntry, call: Call) -> CallOutcome:
    return CallOutcome(status="rejected", result={"reject": {"message": "Too short.", "field": "body"}})


def form(**values: Any) -> dict[str, Any]:
    return {"url": "/a/", "title": "A", "content": "one two", "sites": "1", **values}


def change_url(page: FlatPage) -> str:
    return f"/admin/flatpages/flatpage/{page.pk}/change/"


def test_a_save_without_listeners_leaves_no_event(page: FlatPage) -> None:
    """Nobody listens, nothing is written."""
    page.save()
    assert not HookEvent.objects.exists()


def test_an_after_hook_is_committed_with_the_save(page: FlatPage, scripted: ScriptedAdapter) -> None:
    """The event stands when the save does, and goes when the save goes."""
    serve("alpha", hooks=["content:afterSave"], capabilities=READ)
    page.title = "B"
    page.save()
    event = HookEvent.objects.get()
    assert json.loads(event.payload) == {
        "collection": "flatpages.flatpage",
        "id": str(page.pk),
        "created": False,
        "content": {
            "id": str(page.pk),
            "url": "/a/",
            "title": "B",
            "body": "one two",
            "enableComments": False,
            "registrationRequired": False,
            "templateName": "",
        },
    }
    with transaction.atomic():
        page.save()
        transaction.set_rollback(True)
    assert HookEvent.objects.count() == 1
    assert scripted.calls == []


def test_an_event_is_delivered_once(page: FlatPage, scripted: ScriptedAdapter) -> None:
    """A doorbell rung twice, and the sweep after it, run each listener once."""
    serve("alpha", hooks=["content:afterSave"])
    page.save()
    event = HookEvent.objects.get()
    assert events.deliver(event.pk) is not None
    assert events.deliver(event.pk) is None
    assert events.sweep() == 0
    assert len(scripted.calls) == 1
    event.refresh_from_db()
    assert (event.state, json.loads(event.outcomes)[0]["status"]) == ("done", "ok")


def test_a_worker_that_dies_is_followed_and_who_ran_is_not_run_again(page: FlatPage, scripted: ScriptedAdapter) -> None:
    """The ledger says who ran before the worker died; the next pass asks the others only."""
    serve("first", hooks=["content:afterSave"], order=1)
    serve("second", hooks=["content:afterSave"], order=2)
    page.save()
    event = HookEvent.objects.get()

    class Died(BaseException):
        pass

    def on_call(entry: ActiveEntry, call: Call) -> CallOutcome:
        if entry.name == "second":
            raise Died
        Invocation.objects.create(
            id=call.id, created_at=timezone.now(), plugin=entry.name, version="1", digest="", hook=call.hook,
            status="ok", duration_ms=1,
        )  # fmt: skip
        return CallOutcome(status="ok")

    scripted.on_call = on_call
    with pytest.raises(Died):
        events.deliver(event.pk)
    assert events.deliver(event.pk) is None
    scripted.on_call = lambda entry, call: CallOutcome(status="ok")
    scripted.calls.clear()
    event.refresh_from_db()
    assert events.sweep(now=event.wake_at) == 1
    assert [name for name, _ in scripted.calls] == ["second"]


def test_a_listener_that_cannot_be_reached_is_asked_again_later(page: FlatPage, scripted: ScriptedAdapter) -> None:
    """Unreachable is not an end: the event waits longer each time, then the listener is left out and it is said."""
    serve("alpha", hooks=["content:afterSave"])
    scripted.on_call = lambda entry, call: CallOutcome(status="unreachable")
    page.save()
    event = HookEvent.objects.get()
    waits, now = [], timezone.now()
    while event.state == "waiting":
        events.deliver(event.pk, now=now)
        event.refresh_from_db()
        if event.wake_at:
            waits.append(event.wake_at - now)
            now = event.wake_at
    assert event.passes == events.PASSES
    assert waits == sorted(waits)
    assert json.loads(event.outcomes)[0]["status"] == "unreachable"


def test_a_broken_registry_keeps_events_waiting(page: FlatPage, scripted: ScriptedAdapter) -> None:
    """Who listens cannot be known, so nothing is delivered and nothing is lost."""
    from zelavis import registry
    from zelavis.models import Deployment

    serve("alpha", hooks=["content:afterSave"])
    page.save()
    event = HookEvent.objects.get()
    good = Deployment.objects.get().manifest
    Deployment.objects.update(manifest="{")
    registry.forget_snapshot()
    assert events.deliver(event.pk) is None
    event.refresh_from_db()
    assert event.state == "waiting"
    Deployment.objects.update(manifest=good)
    assert events.deliver(event.pk, now=event.wake_at) is not None


def test_content_is_saved_and_its_event_kept_while_the_registry_cannot_be_read(
    page: FlatPage, scripted: ScriptedAdapter
) -> None:
    """After-hooks of a broken registry wait; a save that must be asked about is refused."""
    from zelavis import registry
    from zelavis.errors import RegistryMalformed
    from zelavis.models import Deployment

    serve("alpha", hooks=["content:afterDelete"])
    good = Deployment.objects.get().manifest
    Deployment.objects.update(manifest="{")
    registry.forget_snapshot()
    User.objects.create_user("bob")
    event = HookEvent.objects.get()
    assert (event.hook, event.state) == ("user:created", "waiting")
    with pytest.raises(RegistryMalformed):
        page.save()
    Deployment.objects.update(manifest=good)
    assert events.sweep() == 1
    event.refresh_from_db()
    assert event.state == "done"


def test_a_rejection_in_code_is_an_exception_and_nothing_is_saved(page: FlatPage, scripted: ScriptedAdapter) -> None:
    """Saving outside of the admin raises, with plugin and field."""
    serve("alpha", hooks=[SAVE], capabilities=READ)
    scripted.on_call = reject
    page.title = "B"
    with pytest.raises(HookRejected) as caught:
        page.save()
    assert caught.value.members == {"plugin": "alpha", "field": "body"}
    page.refresh_from_db()
    assert page.title == "A"


def test_a_before_hook_inside_a_transaction_is_refused(page: FlatPage, scripted: ScriptedAdapter) -> None:
    """No plugin runs while a transaction is open; with a listener that means: not saved."""
    serve("alpha", hooks=[SAVE])
    with pytest.raises(HookInTransaction), transaction.atomic():
        page.save()
    assert scripted.calls == []


def test_a_changed_field_is_saved(page: FlatPage, scripted: ScriptedAdapter) -> None:
    """What a before-hook sets is what is stored."""
    serve("alpha", hooks=[SAVE], capabilities={"content:write": {"reason": "r"}})
    scripted.on_call = lambda entry, call: CallOutcome(status="ok", result={"change": {"title": "Better"}})
    page.save()
    page.refresh_from_db()
    assert page.title == "Better"


def test_the_admin_shows_a_rejection_as_the_fields_error(
    page: FlatPage, scripted: ScriptedAdapter, browser: Client
) -> None:
    """The form comes back with the plugin's words at the field; the page is as it was."""
    serve("alpha", hooks=[SAVE], capabilities=READ)
    scripted.on_call = reject
    answer = browser.post(change_url(page), form(title="B"))
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors == {"content": ["alpha: Too short."]}
    page.refresh_from_db()
    assert page.title == "A"
    assert len(scripted.calls) == 1
    assert scripted.calls[0][1].actor == "user:ann"


def test_the_admin_saves_what_plugins_let_through_and_changed(
    page: FlatPage, scripted: ScriptedAdapter, browser: Client
) -> None:
    """Each listener is asked once a save, outside of the admin's transaction, and its change is stored."""
    serve("alpha", hooks=[SAVE], capabilities={"content:write": {"reason": "r"}})

    def on_call(entry: ActiveEntry, call: Call) -> CallOutcome:
        assert not transaction.get_connection().in_atomic_block
        return CallOutcome(status="ok", result={"change": {"title": call.event["content"]["title"].upper()}})

    scripted.on_call = on_call
    assert browser.post(change_url(page), form(title="better")).status_code == 302
    page.refresh_from_db()
    assert page.title == "BETTER"
    assert len(scripted.calls) == 1
    assert browser.post("/admin/flatpages/flatpage/add/", form(url="/b/", title="new")).status_code == 302
    assert FlatPage.objects.get(url="/b/").title == "NEW"
    assert [call.event["created"] for _, call in scripted.calls] == [False, True]


def test_an_event_names_who_saved(page: FlatPage, scripted: ScriptedAdapter, browser: Client) -> None:
    """The person behind the form stands on the event and on the plugin's call."""
    serve("alpha", hooks=["content:afterSave"])
    browser.post(change_url(page), form(title="B"))
    event = HookEvent.objects.get()
    assert event.actor == "user:ann"
    events.deliver(event.pk)
    assert scripted.calls[0][1].actor == "user:ann"


def test_a_form_that_is_wrong_by_itself_asks_no_plugin(
    page: FlatPage, scripted: ScriptedAdapter, browser: Client
) -> None:
    """Plugins see only what could be saved."""
    serve("alpha", hooks=[SAVE])
    assert browser.post(change_url(page), form(title="")).status_code == 200
    assert scripted.calls == []


def test_a_plugin_can_keep_a_page_from_being_deleted(
    page: FlatPage, scripted: ScriptedAdapter, browser: Client
) -> None:
    """From the page's own button and from the list's action alike; without the rejection it goes."""
    serve("alpha", hooks=["content:beforeDelete"])
    scripted.on_call = reject
    url = f"/admin/flatpages/flatpage/{page.pk}/delete/"
    answer = browser.post(url, {"post": "yes"}, follow=True)
    assert "The plugin alpha says: Too short." in answer.content.decode()
    many = {"action": "delete_selected", "_selected_action": [page.pk], "post": "yes"}
    browser.post("/admin/flatpages/flatpage/", many)
    assert FlatPage.objects.filter(pk=page.pk).exists()
    scripted.on_call = lambda entry, call: CallOutcome(status="ok")
    browser.post(url, {"post": "yes"})
    assert not FlatPage.objects.filter(pk=page.pk).exists()


def test_deleting_and_new_users_are_told(page: FlatPage, scripted: ScriptedAdapter) -> None:
    """content:afterDelete and user:created come from the models' signals."""
    serve("alpha", hooks=["content:afterDelete", "user:created"])
    gone = str(page.pk)
    page.delete()
    user = User.objects.create_user("bob", "bob@example.com")
    user.save()
    told = [(event.hook, json.loads(event.payload)["id"]) for event in HookEvent.objects.order_by("id")]
    assert told == [("content:afterDelete", gone), ("user:created", str(user.pk))]


def test_what_a_plugin_writes_sets_off_hooks_one_deeper(page: FlatPage, scripted: ScriptedAdapter) -> None:
    """The event of a plugin's own write belongs to the chain of the call that wrote, until the chain is cut."""
    serve("alpha", hooks=["content:afterSave"])
    source = SOURCES["flatpages.flatpage"]

    def on_call(entry: ActiveEntry, call: Call) -> CallOutcome:
        inner = SandboxCall(id=call.id, plugin=entry.name, version="1", hook=call.hook)
        with transaction.atomic():
            source.update(str(page.pk), {"title": f"depth {call.depth}"}, call=inner)
        return CallOutcome(status="ok")

    scripted.on_call = on_call
    page.save()
    for _ in range(20):
        if not events.sweep():
            break
    told = list(HookEvent.objects.order_by("depth").values_list("depth", "state"))
    assert told == [(depth, "done") for depth in range(chain.MAX_DEPTH + 1)] + [(chain.MAX_DEPTH + 1, "dropped")]
    assert HookEvent.objects.values("correlation").distinct().count() == 1


def test_others_are_asked_before_a_plugin_writes(page: FlatPage, scripted: ScriptedAdapter) -> None:
    """Another plugin's before-hook sees the write, may change it or say no; the writer is not asked about its own."""
    write = {"content:write": {"reason": "r"}, "content:read": {"reason": "r"}}
    serve("guard", hooks=[SAVE, "content:beforeDelete"], capabilities=write)
    serve("writer", hooks=[SAVE], capabilities=write)
    call = SandboxCall(id="inv_1", plugin="writer", version="1", hook="cron")
    source = SOURCES["flatpages.flatpage"]
    scripted.on_call = lambda entry, call: CallOutcome(status="ok", result={"change": {"title": "x!"}})
    assert source.judge(str(page.pk), {"title": "x"}, call=call) == {"title": "x!"}
    [(asked, seen)] = scripted.calls
    assert (asked, seen.event["content"]["title"], seen.event["created"]) == ("guard", "x", False)
    assert source.judge(None, {"url": "/n/", "title": "n"}, call=call) == {"url": "/n/", "title": "x!"}
    scripted.on_call = lambda entry, call: CallOutcome(status="rejected", result={"reject": {"message": "No."}})
    for values in ({"title": "x"}, None):
        with pytest.raises(InvalidContent, match="guard: No"):
            source.judge(str(page.pk), values, call=call)


def test_a_chain_of_writes_that_ask_each_other_is_cut(page: FlatPage, scripted: ScriptedAdapter) -> None:
    """Two plugins that write whenever the other is about to write end at the depth of the loop guard, in words."""
    for name in ("ping", "pong"):
        serve(name, hooks=[SAVE], capabilities={"content:write": {"reason": "r"}})
    source = SOURCES["flatpages.flatpage"]
    depths: list[int] = []

    def on_call(entry: ActiveEntry, call: Call) -> CallOutcome:
        depths.append(call.depth)
        inner = SandboxCall(id=call.id, plugin=entry.name, version="1", hook=call.hook, depth=call.depth)
        try:
            with chain.within(call.correlation, call.depth):
                source.judge(str(page.pk), {"title": "again"}, call=inner)
        except InvalidContent as error:
            return CallOutcome(status="host_error", error_message=str(error))
        return CallOutcome(status="ok")

    scripted.on_call = on_call
    result = hooks.fire(SAVE, models.BINDINGS[FlatPage].event(page, created=False))
    assert result.rejection is not None
    assert max(depths) == chain.MAX_DEPTH


def test_a_plugins_write_is_checked_like_a_persons(page: FlatPage) -> None:
    """Values the model refuses are refused with words for the author."""
    call = SandboxCall(id="inv_1", plugin="writer", version="1", hook="cron")
    source = SOURCES["flatpages.flatpage"]
    with pytest.raises(InvalidContent):
        source.update(str(page.pk), {"title": "x" * 300}, call=call)
    made = source.create({"url": "/made/", "title": "Made", "body": "b"}, call=call)
    assert source.get(made) == {
        "id": made, "url": "/made/", "title": "Made", "body": "b", "enableComments": False,
        "registrationRequired": False, "templateName": "",
    }  # fmt: skip
    assert [item["id"] for item in source.list(where={"url": "/made/"}, after=None, limit=5)] == [made]
