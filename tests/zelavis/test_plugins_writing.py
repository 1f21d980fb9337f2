"""Plugins that write content, in the real sandbox: others are asked before, and what sets off itself is cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.flatpages.models import FlatPage

from sandbox.models import Invocation
from tests.zelavis.releases import approved
from zelavis import activation, hooks, registry
from zelavis.errors import ConsentRequired
from zelavis.hooks import events
from zelavis.hooks.sources import models
from zelavis.models import HookEvent

pytestmark = pytest.mark.django_db(transaction=True)
WRITE = {
    "content:read": {"reason": "Reads.", "callsPerInvocation": 10, "callsPerHour": 1000},
    "content:write": {"reason": "Writes.", "callsPerInvocation": 10, "callsPerHour": 1000},
}
NEW_USER = {"id": "1", "username": "bob", "email": "", "isStaff": False, "isActive": True}


@pytest.fixture
def page() -> Iterator[FlatPage]:
    """A page that is there."""
    page = FlatPage.objects.create(url="/a/", title="A", content="one two")
    page.sites.add(1)
    yield page
    registry.forget_snapshot()


def install(folder: Path, name: str, hook: str, body: str) -> None:
    """A plugin with one handler that may read and write content."""
    module = f"export default {{ hooks: {{ {json.dumps(hook)}: async (event, ctx) => {body} }} }};"
    approved(
        folder, name=name, module=module,
        hooks=[{"name": hook, "timeoutMs": 2000}], routes=[], capabilities=WRITE, limits={"deadlineMs": 2000},
    )  # fmt: skip
    with pytest.raises(ConsentRequired) as asked:
        activation.install(name, actor="user:a")
    assert activation.install(name, actor="user:a", consent=asked.value.members["consent"]).state == "active"


def writer(page: FlatPage, title: str) -> str:
    values = json.dumps({"title": title})
    return f'{{ await ctx.content.update("flatpages.flatpage", "{page.pk}", {values}); return 1; }}'


GUARD = """{
  if (event.content.title.includes("bad")) return { reject: { message: "Not this word.", field: "title" } };
  return { change: { title: event.content.title + ", seen" } };
}"""


def test_a_plugin_that_listens_before_saves_has_a_say_in_anothers_write(page: FlatPage, tmp_path: Path) -> None:
    """It changes the title that the writer's guest wrote, and both rows say that they are one chain."""
    install(tmp_path, "guard", "content:beforeSave", GUARD)
    install(tmp_path, "writer", "user:created", writer(page, "good"))
    [outcome] = hooks.fire("user:created", NEW_USER, correlation="cor_1").outcomes
    assert (outcome.status, outcome.result) == ("ok", 1), outcome
    page.refresh_from_db()
    assert page.title == "good, seen"
    chain = Invocation.objects.filter(correlation="cor_1").order_by("plugin").values_list("plugin", "hook", "status")
    assert list(chain) == [("guard", "content:beforeSave", "ok"), ("writer", "user:created", "ok")]


def test_a_write_that_another_plugin_refuses_is_not_made(page: FlatPage, tmp_path: Path) -> None:
    """The writer's call fails with the refusal's words; nothing of it is stored."""
    install(tmp_path, "guard", "content:beforeSave", GUARD)
    install(tmp_path, "writer", "user:created", writer(page, "bad"))
    install(tmp_path, "listener", "content:afterSave", "1")
    [outcome] = hooks.fire("user:created", NEW_USER).outcomes
    assert outcome.status != "ok"
    assert "guard: Not this word." in outcome.message
    page.refresh_from_db()
    assert page.title == "A"
    assert not HookEvent.objects.filter(hook="content:afterSave").exists()


def test_two_plugins_that_write_before_each_others_saves_are_cut(page: FlatPage, tmp_path: Path) -> None:
    """A person's save sets off ping, whose write asks pong, whose write asks ping: it ends, in words, and soon."""
    install(tmp_path, "ping", "content:beforeSave", writer(page, "ping"))
    install(tmp_path, "pong", "content:beforeSave", writer(page, "pong"))
    event = models.BINDINGS[FlatPage].event(page, created=False)
    result = hooks.fire("content:beforeSave", event)
    assert result.rejection is not None
    assert result.rejection.code == "plugin_failed"
    page.refresh_from_db()
    assert page.title == "A"
    assert Invocation.objects.filter(hook="content:beforeSave").count() < 20


def test_a_plugin_that_writes_after_every_save_is_cut(page: FlatPage, tmp_path: Path) -> None:
    """Each write is an event one deeper in the same chain, until the chain is dropped."""
    install(tmp_path, "echo", "content:afterSave", writer(page, "again"))
    page.save()
    for _ in range(30):
        if not events.sweep():
            break
    assert not HookEvent.objects.filter(state="waiting").exists()
    told = list(HookEvent.objects.order_by("depth").values_list("depth", flat=True))
    assert told == list(range(len(told)))
    assert 2 < len(told) < 20
    assert HookEvent.objects.values("correlation").distinct().count() == 1
