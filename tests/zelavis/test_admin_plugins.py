"""The registry in the admin: consent, verbs as buttons, timelines, hooks, breakers, workers."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from tests.zelavis.plugs import ScriptedAdapter, serve
from tests.zelavis.releases import approved
from zelavis import carry, encryption, hooks, registry
from zelavis.adapters.base import Answer, CallOutcome
from zelavis.errors import RegistryMalformed
from zelavis.models import Activation, AuditEvent, CircuitBreaker, Deployment, DispatchNamespace, DispatchWorker

pytestmark = pytest.mark.django_db
PAGE = {"collection": "x.y", "id": "1", "created": True, "content": {"id": "1"}}


@pytest.fixture
def browser() -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def text(answer: Any) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())))


def hidden(answer: Any) -> dict[str, str]:
    return dict(re.findall(r'name="(consent|version)" value="([^"]*)"', answer.content.decode()))


def test_installing_goes_over_the_consent_page(browser: Client, tmp_path: Path) -> None:
    """The page shows what, how much and why; looking at it changes nothing; agreeing installs exactly that."""
    approved(tmp_path, capabilities={"kv": {"reason": "Keeps <b>counts</b>.", "callsPerInvocation": 7, "bytes": 1536}})
    page = browser.get("/admin/zelavis/pluginentry/install/counter/")
    words = "Limits: at most 7 calls each time it runs, 1.5 KiB stored, 1,000 keys."
    assert f"{words} “Keeps <b>counts</b>.”" in text(page)
    assert "<b>counts</b>" not in page.content.decode()
    assert not Activation.objects.exists()
    answer = browser.post("/admin/zelavis/pluginentry/install/counter/", {**hidden(page), "reason": "r"}, follow=True)
    shown = text(answer)
    for step in ("requested", "fetched", "verified", "inspected", "compiled", "deployed", "plugin:activate", "active"):
        assert step in shown
    assert "The plugin counter@1.0.0 serves." in shown
    entry = registry.get("counter")
    assert words in text(browser.get(f"/admin/zelavis/pluginentry/{entry.pk}/change/"))
    assert entry.serving is not None
    assert entry.serving.consented_by == "user:ann"
    assert AuditEvent.objects.get(action="plugin.install").reason == "r"


def test_a_consent_for_another_list_is_not_taken(browser: Client, tmp_path: Path) -> None:
    """A form that was open while the version changed asks again instead of installing."""
    approved(tmp_path)
    stale = {"version": "1.0.0", "consent": "0" * 64}
    answer = browser.post("/admin/zelavis/pluginentry/install/counter/", stale, follow=True)
    assert "The consent given is for other capabilities" in text(answer)
    assert not Activation.objects.exists()


def test_updating_shows_what_is_new_and_rolling_back_is_a_button(browser: Client, tmp_path: Path) -> None:
    """The delta stands on the page; the version before is one confirmation away."""
    approved(tmp_path)
    page = browser.get("/admin/zelavis/pluginentry/install/counter/")
    browser.post("/admin/zelavis/pluginentry/install/counter/", hidden(page))
    approved(
        tmp_path,
        version="2.0.0",
        capabilities={
            "kv": {"reason": "c", "callsPerInvocation": 10, "callsPerHour": 1000, "bytes": 65536},
            "content:read": {"reason": "looks"},
        },
    )
    page = browser.get("/admin/zelavis/pluginentry/update/counter/")
    assert "+ content:read: new" in text(page)
    assert "newest" in text(browser.get("/admin/zelavis/pluginentry/update/counter/?version=1.0.0", follow=True))
    browser.post("/admin/zelavis/pluginentry/update/counter/", hidden(page))
    entry = registry.get("counter")
    assert (str(entry.serving), str(entry.previous)) == ("counter@2.0.0", "counter@1.0.0")
    shown = text(browser.get(f"/admin/zelavis/pluginentry/{entry.pk}/change/"))
    assert "Roll back to 1.0.0" in shown
    assert "counter@1.0.0 will" in text(browser.get("/admin/zelavis/pluginentry/rollback/counter/"))
    browser.post("/admin/zelavis/pluginentry/rollback/counter/", {"reason": "slow"})
    assert str(registry.get("counter").serving) == "counter@1.0.0"
    assert "cannot be undone" in text(browser.get("/admin/zelavis/pluginentry/uninstall/counter/"))
    browser.post("/admin/zelavis/pluginentry/uninstall/counter/", {"purge": "on"})
    assert registry.get("counter").serving is None


def test_a_failed_attempt_shows_why_and_can_be_retried(
    browser: Client, scripted: ScriptedAdapter, tmp_path: Path
) -> None:
    """Code, message and curl on the page; Retry only by POST and only for the newest."""
    approved(tmp_path)
    registry.register("counter", actor="user:ann", adapter="scripted")
    scripted.on_activate = lambda order: Answer(status="failed", code="worker_refused", message="<i>no</i>")
    page = browser.get("/admin/zelavis/pluginentry/install/counter/")
    answer = browser.post("/admin/zelavis/pluginentry/install/counter/", hidden(page), follow=True)
    shown = text(answer)
    assert "worker_refused" in shown
    assert "<i>no</i>" not in answer.content.decode()
    assert "curl -X POST http://testserver/api/plugins/counter/install" in shown
    row = Activation.objects.get()
    url = f"/admin/zelavis/activation/{row.pk}/retry/"
    assert browser.get(url).status_code == 405
    scripted.on_activate = lambda order: Answer(status="active")
    assert "attempt" in text(browser.post(url, follow=True)).lower()
    assert str(registry.get("counter").serving) == "counter@1.0.0"
    assert "tried again" in text(browser.post(url, follow=True))


def test_who_may_only_look_changes_nothing(scripted: ScriptedAdapter, tmp_path: Path) -> None:
    """Viewing staff see pages without buttons, and every verb's address is closed to them."""
    from django.contrib.auth.models import Permission

    approved(tmp_path)
    entry = serve("alpha")
    viewer = User.objects.create_user("vic", is_staff=True)
    viewer.user_permissions.add(*Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(viewer)
    page = client.get(f"/admin/zelavis/pluginentry/{entry.pk}/change/")
    assert page.status_code == 200
    assert "Uninstall" not in text(page)
    for verb, name in (("install", "counter"), ("update", "alpha"), ("rollback", "alpha"), ("uninstall", "alpha"),
                       ("settings", "alpha")):  # fmt: skip
        for method in (client.get, client.post):
            assert method(f"/admin/zelavis/pluginentry/{verb}/{name}/").status_code == 403, verb
    assert registry.get("alpha").serving is not None


def test_settings_are_a_form_and_hidden_ones_stay(browser: Client, scripted: ScriptedAdapter) -> None:
    """Each kind of field has its control; a secret is on no page, stays when left empty, and goes when asked to."""
    fields: dict[str, Any] = {
        "key": {"type": "string", "format": "secret", "title": "Key <b>"},
        "colour": {"type": "string", "enum": ["red", "green"], "default": "red"},
        "most": {"type": "integer", "minimum": 1, "maximum": 5000},
        "share": {"type": "number"},
        "on": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "string"}},
        "about": {"type": "string", "format": "multiline"},
    }
    serve("alpha", settings={"type": "object", "properties": fields, "required": ["key"]})
    registry.configure("alpha", actor="user:ann", settings={"key": "hidden!", "most": 1234})
    url = "/admin/zelavis/pluginentry/settings/alpha/"
    page = browser.get(url).content.decode()
    assert "hidden!" not in page
    assert "Key &lt;b&gt; (required)" in page
    assert 'type="password"' in page
    assert 'value="1234"' in page
    assert 'min="1" max="5000"' in page
    assert [f'id="setting-{name}"' in page for name in fields] == [True] * len(fields)
    sent = {
        "setting-key": "", "setting-colour": "green", "setting-most": "7", "setting-share": "0.5",
        "setting-on": "false", "setting-names": "a\r\n b \r\n", "setting-about": "one\r\ntwo",
    }  # fmt: skip
    wrong = browser.post(url, {**sent, "setting-most": "5001", "setting-key": "another"})
    assert "settings/most" in text(wrong)
    assert 'value="5001"' in wrong.content.decode()
    assert "another" not in wrong.content.decode()
    assert "hidden!" not in wrong.content.decode()
    browser.post(url, sent)
    assert registry.active_entry("alpha").settings == {  # type: ignore[union-attr]
        "key": "hidden!", "colour": "green", "most": 7, "share": 0.5, "on": False, "names": ["a", "b"],
        "about": "one\r\ntwo",
    }  # fmt: skip
    shown = text(browser.get(f"/admin/zelavis/pluginentry/{registry.get('alpha').pk}/change/"))
    for one in ("Key <b> stored, never shown", "colour green", "most 7", "on no", "names a b"):
        assert one in shown
    assert "is required" in text(browser.post(url, {**sent, "clear-key": "on"}))
    browser.post(url, {"setting-key": "new"})
    assert registry.active_entry("alpha").settings == {"key": "new"}  # type: ignore[union-attr]


def test_settings_are_sealed_where_they_lie(scripted: ScriptedAdapter, settings: Any) -> None:
    """No row holds a setting in plain, under any name; with another key nothing runs until they are set again."""
    serve("alpha", settings={"type": "object", "properties": {"pin": {"type": "string", "format": "secret"}}})
    registry.configure("alpha", actor="user:ann", settings={"pin": "hidden!"})
    Deployment.objects.update(settings='{"pin": "hidden!"}')
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            assert "hidden!" not in repr(cursor.fetchall()), table
    assert Deployment.objects.get().settings == '{"pin": "hidden!"}'
    entry = registry.active_entry("alpha")
    assert entry is not None
    assert entry.settings == {"pin": "hidden!"}
    assert carry.hidden_of("alpha") == {"pin"}
    own = settings.SECRET_KEY
    settings.SECRET_KEY = "another key, of enough characters"
    registry.forget_snapshot()
    row = registry.get("alpha")
    row.save()
    with pytest.raises(RegistryMalformed, match="set them again"):
        registry.snapshot()
    settings.SECRET_KEY = own
    assert registry.get("alpha").settings == '{"pin": "hidden!"}'


def test_hooks_breakers_adapters_and_home(browser: Client, scripted: ScriptedAdapter) -> None:
    """Who listens, who rests, what adapters declare, and what needs somebody."""
    serve("alpha", hooks=["content:afterSave"])
    scripted.on_call = lambda entry, call: CallOutcome(status="trap", error_message="boom")
    for _ in range(5):
        hooks.fire("content:afterSave", PAGE)
    assert "alpha 1.0.0 by scripted" in text(browser.get("/admin/zelavis/hookevent/catalogue/"))
    home = text(browser.get("/admin/"))
    # What alarms comes before what is calm.
    assert home.index("Resting plugins 1") < home.index("Activating 0")
    assert "isolate-per-call" in text(browser.get("/admin/zelavis/dispatchnamespace/adapters/"))
    breaker = CircuitBreaker.objects.get()
    browser.post("/admin/zelavis/circuitbreaker/", {"action": "reset", "_selected_action": [breaker.pk]})
    assert not CircuitBreaker.objects.exists()
    assert "What needs you Nothing." in text(browser.get("/admin/"))


def test_a_workers_secret_goes_in_and_never_comes_out(browser: Client) -> None:
    """It is stored sealed, on no page, and stays when the form is saved without it."""
    namespace = DispatchNamespace.objects.create(name="staging")
    values = {
        "namespace": namespace.pk, "name": "one", "base_url": "https://worker.example", "timeout_ms": 5000,
        "max_answer_bytes": 100000, "new_secret": "a secret of some length",
    }  # fmt: skip
    assert browser.post("/admin/zelavis/dispatchworker/add/", values).status_code == 302
    worker = DispatchWorker.objects.get()
    assert "a secret" not in worker.secret
    assert encryption.unseal(worker.secret) == "a secret of some length"
    url = f"/admin/zelavis/dispatchworker/{worker.pk}/change/"
    page = browser.get(url).content.decode()
    assert "a secret" not in page
    assert worker.secret not in page
    browser.post(url, {**values, "new_secret": "", "timeout_ms": 6000})
    worker.refresh_from_db()
    assert (worker.timeout_ms, encryption.unseal(worker.secret)) == (6000, "a secret of some length")
    bad = browser.post("/admin/zelavis/dispatchworker/add/", {**values, "name": "../b"})
    assert "Lower-case letters" in text(bad)
    assert "a secret" not in str(list(AuditEvent.objects.values_list("changes", flat=True)))


def test_no_page_carries_inline_script_or_style(browser: Client, tmp_path: Path) -> None:
    """The content policy is strict; a page that needed an exception would be broken."""
    approved(tmp_path)
    page = browser.get("/admin/zelavis/pluginentry/install/counter/")
    browser.post("/admin/zelavis/pluginentry/install/counter/", hidden(page))
    entry, row = registry.get("counter"), Activation.objects.get()
    for path in (
        "pluginentry/", f"pluginentry/{entry.pk}/change/", "pluginentry/update/counter/",
        "pluginentry/settings/counter/",
        "pluginentry/uninstall/counter/", "activation/", f"activation/{row.pk}/change/", "hookevent/",
        "hookevent/catalogue/", "dispatchnamespace/", "dispatchnamespace/adapters/", "dispatchworker/add/", "schedule/",
        "circuitbreaker/", "hostedplugin/",
    ):  # fmt: skip
        answer = browser.get(f"/admin/zelavis/{path}", follow=True)
        assert answer.status_code == 200, path
        page = answer.content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>", page), path
        assert not re.search(r"<style|\son[a-z]+=\"|\sstyle=\"", page), path
