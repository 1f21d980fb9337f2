"""Manifests, schedules and events in the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from runs.manifests import ingesting, registering
from runs.models import EventReceipt, Manifest, Run, Schedule
from zelavis.models import AuditEvent

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def page(client: Client, workflow: Any) -> Client:
    """A signed-in administrator, a manifest with odd names, and an event that came."""

    @workflow("job")
    def job(context: Any, given: Any) -> Any:
        return given

    client.force_login(User.objects.create_superuser("root", password="x"))
    document = {
        "versionId": "v1",
        "workflows": [
            {
                "id": "job",
                "schedules": [{"every": "1h", "name": EVIL}, {"cron": "bad"}, {"every": "1h", "enabled": False}],
            }
        ],
        "eventFilters": [
            {"id": "f", "eventType": EVIL, "targetWorkflowId": "job"},
            {"id": "g", "eventType": EVIL, "targetWorkflowId": "job", "where": {"xor": []}},
        ],
    }
    registering.register(document, environment="production", actor="test")
    ingesting.ingest({"name": EVIL, "emittedAt": "t", "data": EVIL}, environment="production")
    return client


@pytest.mark.parametrize("model", [Manifest, Schedule, EventReceipt])
def test_pages_show_everything_and_run_nothing(page: Client, model: Any) -> None:
    """Lists and pages open; text from outside is escaped; nothing can be added, edited or deleted."""
    name = f"admin:runs_{model._meta.model_name}"
    listed = page.get(reverse(f"{name}_changelist"))
    assert listed.status_code == 200
    for row in model.objects.all():
        shown = page.get(reverse(f"{name}_change", args=[row.pk]))
        assert shown.status_code == 200
        for text in (listed.content.decode(), shown.content.decode()):
            assert EVIL not in text
        assert page.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    assert page.get(reverse(f"{name}_add")).status_code == 403


def act(page: Client, action: str, row: Schedule) -> Any:
    return page.post(
        reverse("admin:runs_schedule_changelist"), {"action": action, "_selected_action": [row.pk]}, follow=True
    )


def test_schedules_are_paused_and_go_on(page: Client) -> None:
    """The list's actions pause, go on and run once; each deed is audited with its actor."""
    row = Schedule.objects.get(label=EVIL)
    act(page, "pause", row)
    row.refresh_from_db()
    assert row.paused
    act(page, "go_on", row)
    row.refresh_from_db()
    assert not row.paused
    before = row.next_at
    answer = act(page, "fire_now", row)
    row.refresh_from_db()
    assert (row.next_at, Run.objects.filter(pk=row.last_run_id).count()) == (before, 1)
    assert reverse("admin:runs_run_change", args=[row.last_run_id]) in answer.content.decode()
    deeds = AuditEvent.objects.filter(action__startswith="schedule.").values_list("action", "actor")
    assert set(deeds) == {(f"schedule.{verb}", "user:root") for verb in ("pause", "unpause", "fire")}


def test_a_broken_schedule_cannot_be_run(page: Client) -> None:
    """The reason is shown instead."""
    answer = act(page, "fire_now", Schedule.objects.get(label="1"))
    assert "expected 5 fields" in answer.content.decode()


def test_the_home_page_counts_what_fails(page: Client) -> None:
    """A schedule that cannot do its work is a card on the home page, which leads to it."""
    home = page.get(reverse("admin:index")).content.decode()
    assert "Failing schedules" in home
    listed = page.get(reverse("admin:runs_schedule_changelist") + "?fault=yes")
    assert [row.label for row in listed.context["cl"].result_list] == ["1"]


def test_who_may_only_look(client: Client, page: Client) -> None:
    """A person who may view sees the list without its verbs."""
    viewer = User.objects.create_user("viewer", password="x", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_schedule", content_type__app_label="runs"))
    client.force_login(viewer)
    row = Schedule.objects.get(label=EVIL)
    assert client.get(reverse("admin:runs_schedule_changelist")).status_code == 200
    act(client, "pause", row)
    row.refresh_from_db()
    assert not row.paused
