"""The sandbox's admin pages: ledger, statistics, tapes, stores, secrets."""

from __future__ import annotations

import dataclasses
import functools

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from sandbox import compiler, host, tape
from sandbox.call import Call
from sandbox.capabilities.backends.database import DatabaseBackend
from sandbox.limits import Limits
from sandbox.models import Invocation, PluginSecret, PluginValue, Tape
from tests.sandbox.capabilities.harness import ask, make

pytestmark = pytest.mark.django_db

SOURCE = b"""
export default { hooks: {
  "h": async (event, ctx) => {
    console.log("<script>alert(1)</script>\\u202e");
    await ctx.kv.increment("n");
    try { await ctx.users.get(1); } catch {}
    throw new TypeError("<img src=x onerror=alert(1)>");
  },
  "good": () => "fine",
} };
"""


def person(role: str) -> Client:
    """A browser of somebody in this role."""
    from django.contrib.auth.models import Group, User

    user = User.objects.create_user(role, password="x", is_staff=True)  # type: ignore[call-arg]
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def failed() -> Invocation:
    """A call that failed, with its tape."""
    artifact = compiler.deploy(SOURCE, kind="javascript")
    call = Call(id="inv_01k9000000000000000000000f", plugin="one", version="1.0.0", hook="h", event={"a": "<b>"})
    host.execute(artifact, call, grants={"kv": {"reason": "t"}}, limits=Limits(deadline_ms=5000))
    good = dataclasses.replace(call, id="inv_01k9000000000000000000000g", hook="good")
    host.execute(artifact, good, grants={}, limits=Limits(deadline_ms=5000))
    return Invocation.objects.get(pk=call.id)


def test_the_ledger_lists_and_filters(failed: Invocation) -> None:
    """Calls are listed newest first, filtered by plugin, hook and outcome, and found by id."""
    client = person("viewer")
    page = reverse("admin:sandbox_invocation_changelist")
    assert b"good" in client.get(page).content
    only = client.get(page, {"status": "trap", "plugin": "one", "hook": "h"})
    assert only.status_code == 200
    assert [row.pk for row in only.context["cl"].result_list] == [failed.pk]
    found = client.get(page, {"q": failed.pk})
    assert [row.pk for row in found.context["cl"].result_list] == [failed.pk]


def test_the_ledger_can_be_followed(failed: Invocation) -> None:
    """The list has a switch to follow new calls, served as a script of our own; a person without a list gets none."""
    text = person("viewer").get(reverse("admin:sandbox_invocation_changelist")).content.decode()
    assert 'data-live="changelist-form"' in text
    assert 'id="changelist-form"' in text
    assert "sandbox/live.js" in text
    assert finders.find("sandbox/live.js")


def test_a_call_shows_outcome_error_log_and_refusals(failed: Invocation) -> None:
    """D10: everything a plugin said stands on the page, escaped, with invisible characters made visible."""
    text = person("viewer").get(reverse("admin:sandbox_invocation_change", args=[failed.pk])).content.decode()
    assert "trap" in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert "capability_denied" in text


def test_host_details_are_for_operators(failed: Invocation) -> None:
    """C07: what only an operator may know is not on a viewer's page."""
    Invocation.objects.filter(pk=failed.pk).update(operator_detail="Traceback: /etc/secret/path")
    address = reverse("admin:sandbox_invocation_change", args=[failed.pk])
    assert b"/etc/secret/path" not in person("viewer").get(address).content
    assert b"/etc/secret/path" in person("operator").get(address).content


def test_nobody_edits_the_ledger(failed: Invocation) -> None:
    """Rows of the ledger can be neither added, changed nor deleted in the admin."""
    client = person("operator")
    assert client.get(reverse("admin:sandbox_invocation_add")).status_code == 403
    assert client.post(reverse("admin:sandbox_invocation_change", args=[failed.pk]), {"plugin": "x"}).status_code == 403
    assert client.post(reverse("admin:sandbox_invocation_delete", args=[failed.pk]), {"post": "yes"}).status_code == 403
    assert Invocation.objects.get(pk=failed.pk).plugin == "one"


def test_a_plugin_has_its_figures(failed: Invocation) -> None:
    """p50, p95, failure rate and refusals of the last day, drawn as SVG on the server."""
    answer = person("viewer").get(reverse("admin:sandbox_invocation_plugin", args=["one"]))
    text = answer.content.decode()
    assert answer.context["figures"].calls == 2
    assert answer.context["figures"].failed == 1
    assert answer.context["figures"].refusals == 1
    assert "50.0 %" in text
    assert "<polyline" in text
    assert "<rect" in text
    assert "style=" not in text.partition('id="content-main"')[2]
    empty = person("curator").get(reverse("admin:sandbox_invocation_plugin", args=["none"]))
    assert b"was not called" in empty.content


def test_statistics_are_right() -> None:
    """Percentiles are of nearest rank, by hour and by hook, and old calls are not in them."""
    from datetime import UTC, datetime, timedelta

    from sandbox import statistics

    now = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
    for number in range(100):
        Invocation.objects.create(
            id=f"inv_{number}", created_at=now - timedelta(minutes=number), plugin="p", hook="a" if number else "b",
            status="ok" if number % 10 else "deadline", duration_ms=float(number + 1), refusals=number % 2,
        )  # fmt: skip
    Invocation.objects.create(
        id="inv_old", created_at=now - timedelta(days=2), plugin="p", status="ok", hook="a", duration_ms=9e9
    )
    figures = statistics.of_plugin("p", now=now)
    assert (figures.calls, figures.failed, figures.refusals) == (100, 10, 50)
    assert (figures.p50, figures.p95) == (51.0, 96.0)
    assert [hour.calls for hour in figures.hours[-3:]] == [9, 60, 31]
    assert [hook[:2] for hook in figures.hooks] == [("a", 99), ("b", 1)]
    assert figures.failure_rate == 10.0


def test_a_tape_is_replayed_with_a_button(failed: Invocation) -> None:
    """I04: an operator opens and replays a tape, and both are noted; the replay says it is the same."""
    from django.contrib.admin.models import LogEntry

    client = person("operator")
    address = reverse("admin:sandbox_tape_change", args=[failed.pk])
    assert b"Replay" in client.get(address).content
    button = reverse("admin:sandbox_tape_replay", args=[failed.pk])
    assert client.get(button).status_code == 405
    answer = client.post(button)
    assert answer.status_code == 200
    assert b"byte for byte" in answer.content
    noted = set(LogEntry.objects.values_list("change_message", flat=True))
    assert noted == {"Tape opened.", "Tape replayed."}


def test_a_tape_is_replayed_against_another_release(failed: Invocation) -> None:
    """Another artifact that the plugin has run here can be chosen, and the difference is shown, escaped."""
    other = compiler.deploy(SOURCE.replace(b"<img", b"<svg"), kind="javascript")
    Invocation.objects.create(
        id="inv_2", created_at=timezone.now(), plugin="one", version="2.0.0", digest=other.digest, hook="h",
        status="ok", duration_ms=1.0,
    )  # fmt: skip
    client = person("operator")
    answer = client.post(reverse("admin:sandbox_tape_replay", args=[failed.pk]), {"against": other.digest})
    assert b"a different outcome" in answer.content
    assert b"&lt;svg src=x" in answer.content
    assert b"<svg src=x" not in answer.content


def test_a_tape_is_replayed_against_a_release_that_never_ran(
    failed: Invocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that is offered can be chosen before anybody installed it; one that does not deploy says why."""
    changed = SOURCE.replace(b"<img", b"<svg")

    def offered(plugin: str) -> list[tape.Other]:
        assert plugin == "one"
        ready = functools.partial(compiler.deploy, changed, kind="javascript")
        broken = functools.partial(compiler.deploy, b"throw new Error('no');", kind="javascript")
        return [
            tape.Other(digest="d" * 64, version="3.0.0", deploy=ready),
            tape.Other(digest="e" * 64, version="4.0.0", deploy=broken),
        ]

    monkeypatch.setattr(tape, "RELEASES", [offered])
    client = person("operator")
    page = client.get(reverse("admin:sandbox_tape_change", args=[failed.pk])).content
    assert b"3.0.0" in page
    assert b"4.0.0" in page
    button = reverse("admin:sandbox_tape_replay", args=[failed.pk])
    assert b"a different outcome" in client.post(button, {"against": "d" * 64}).content
    assert b"plugin_load_failed" in client.post(button, {"against": "e" * 64}).content


def test_tapes_are_for_operators(failed: Invocation) -> None:
    """A viewer sees that there is a tape and neither opens nor replays it."""
    client = person("viewer")
    assert client.get(reverse("admin:sandbox_tape_changelist")).status_code == 200
    assert client.get(reverse("admin:sandbox_tape_change", args=[failed.pk])).status_code == 403
    assert client.post(reverse("admin:sandbox_tape_replay", args=[failed.pk])).status_code == 403
    assert Tape.objects.count() == 1


def test_what_plugins_keep_can_be_browsed() -> None:
    """Values are listed by plugin, found by key and shown as JSON; every store has its page."""
    session = make(backend=DatabaseBackend())
    ask(session, "kv", "set", "<b>key", {"<i>": 1})
    session.commit()
    client = person("viewer")
    listed = client.get(reverse("admin:sandbox_pluginvalue_changelist"), {"plugin": "one", "q": "key"})
    assert b"&lt;b&gt;key" in listed.content
    assert b"<b>key" not in listed.content
    shown = client.get(reverse("admin:sandbox_pluginvalue_change", args=[PluginValue.objects.get().pk]))
    assert b"&lt;i&gt;" in shown.content
    for name in (
        "plugindocument",
        "pluginobject",
        "pluginblob",
        "pluginmail",
        "pluginwake",
        "pluginusage",
        "pluginmeter",
    ):
        assert client.get(reverse(f"admin:sandbox_{name}_changelist")).status_code == 200


def test_secrets_are_written_and_never_read() -> None:
    """A secret is set and replaced by an operator, kept encrypted, and on no page afterwards."""
    client = person("operator")
    add = reverse("admin:sandbox_pluginsecret_add")
    assert client.post(add, {"plugin": "one", "name": "key", "value": "hunter2-hunter2"}).status_code == 302
    row = PluginSecret.objects.get()
    assert "hunter2" not in row.sealed
    assert DatabaseBackend().secret("one", "key") == "hunter2-hunter2"
    change = reverse("admin:sandbox_pluginsecret_change", args=[row.pk])
    for page in (change, reverse("admin:sandbox_pluginsecret_changelist")):
        text = client.get(page).content.decode()
        assert "hunter2" not in text
        assert row.sealed not in text
    assert client.post(change, {"name": "key", "value": "another-value"}).status_code == 302
    assert DatabaseBackend().secret("one", "key") == "another-value"
    for bad in (
        {"name": "key2", "value": "short"},
        {"name": "K", "value": "long-enough"},
        {"name": "k", "value": "ünprintable"},
    ):
        assert client.post(add, {"plugin": "one", **bad}).status_code == 200
    assert PluginSecret.objects.count() == 1
    assert person("viewer").get(add).status_code == 403
