"""Stages, blocks and settings that are asked for, in the admin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.zelavis.releases import MODULE, approved
from zelavis import activation, encryption, registry
from zelavis.models import DispatchNamespace, DispatchWorker

pytestmark = pytest.mark.django_db
ENTRY = "/admin/zelavis/pluginentry"


@pytest.fixture
def browser(tmp_path: Path) -> Client:
    """A superuser's browser; counter 1.0.0 serves, 1.1.0 can be had."""
    approved(tmp_path)
    activation.install("counter", actor="user:a", implied=True)
    fields = {"region": {"type": "string", "enum": ["eu", "us"], "title": "Region"}}
    schema = {"type": "object", "properties": fields, "required": ["region"]}
    approved(tmp_path, version="1.1.0", module=MODULE, settings=schema)
    client = Client()
    client.force_login(User.objects.get(username="eve"))
    return client


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return answer.content.decode()


def post(client: Client, path: str, **fields: Any) -> str:
    return client.post(path, fields, follow=True).content.decode()


def test_an_update_asks_for_settings_and_goes_in_stages(browser: Client) -> None:
    """The consent page has a field for what is newly required, a share and a rehearsal; then the stages are seen."""
    shown = page(browser, f"{ENTRY}/update/counter/")
    assert 'name="setting-region"' in shown
    assert "Share of the calls at first" in shown
    consent = shown.partition('name="consent" value="')[2][:64]
    form = {"consent": consent, "version": "1.1.0", "percent": "25", "shadow_tapes": "0"}
    lacking = post(browser, f"{ENTRY}/update/counter/", **form)
    assert "needs a value for region" in lacking
    told = post(browser, f"{ENTRY}/update/counter/", **form, **{"setting-region": "eu"})
    assert "counter@1.1.0 gets 25 % of the calls" in told
    assert "rolling_out" in told
    assert "Promote …" in told
    entry = registry.get("counter")
    shown = page(browser, f"{ENTRY}/{entry.pk}/change/")
    assert "Staged update" in shown
    assert "Stay with 1.0.0" in shown
    assert "Staged updates" in page(browser, "/admin/")
    told = post(browser, f"{ENTRY}/promote/counter/", reason="fine")
    assert "counter@1.1.0 serves" in told
    assert registry.get("counter").settings == '{"region": "eu"}'


def test_a_plugin_is_blocked_and_let_go(browser: Client) -> None:
    """With a reason, shown where one looks: the entry, the list, the home page."""
    entry = registry.get("counter")
    assert "Say why it is stopped" in post(browser, f"{ENTRY}/block/counter/", reason="")
    assert "Blocked: It loops." in post(browser, f"{ENTRY}/block/counter/", reason="It loops.")
    assert registry.active_entry("counter") is None
    home = page(browser, "/admin/")
    assert "Stopped by an operator" in home
    assert "counter" in page(browser, f"{ENTRY}/?blocked__gt=")
    assert "Unblock …" in page(browser, f"{ENTRY}/{entry.pk}/change/")
    assert "Blocked:" not in post(browser, f"{ENTRY}/unblock/counter/", reason="fixed")
    assert registry.active_entry("counter") is not None


def test_a_viewer_changes_nothing(browser: Client) -> None:
    """The new verbs ask for the permission that the others ask for."""
    viewer = Client()
    viewer.force_login(User.objects.create_user("vera", is_staff=True))
    for verb in ("promote", "block", "unblock"):
        assert viewer.post(f"{ENTRY}/{verb}/counter/", {"reason": "x"}).status_code == 403


def test_a_workers_secret_is_changed_in_two_steps(browser: Client) -> None:
    """The form keeps the one before until the action ends the change."""
    namespace = DispatchNamespace.objects.create(name="edge")
    worker = DispatchWorker.objects.create(
        namespace=namespace, name="one", base_url="https://one.example.com", secret=encryption.seal("the first of them")
    )
    form = {
        "namespace": namespace.pk, "name": "one", "base_url": worker.base_url, "timeout_ms": 1000,
        "max_answer_bytes": 4096, "new_secret": "the second of them",
    }  # fmt: skip
    assert "being changed" in post(browser, f"/admin/zelavis/dispatchworker/{worker.pk}/change/", **form)
    worker.refresh_from_db()
    assert encryption.unseal(worker.previous_secret) == "the first of them"
    told = post(
        browser, "/admin/zelavis/dispatchworker/", action="settle", _selected_action=str(worker.pk)
    )  # fmt: skip
    assert "only the newest secret counts" in told
