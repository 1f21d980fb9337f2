"""Accounts in the admin: deleting one ends what it could open."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from zelavis import tokens
from zelavis.models import ApiToken, AuditEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    """A superuser's."""
    made = Client()
    made.force_login(User.objects.create_superuser("root"))
    return made


def test_an_account_takes_its_tokens_along(browser: Client) -> None:
    """The page names the tokens that end with the account; they open nothing afterwards, and that is recorded."""
    leaver = User.objects.create_user("leaver")
    kept, _ = tokens.create("of somebody else", ["runs:read"])
    _, secret = tokens.create("laptop", ["runs:read"], owner=leaver)
    page = reverse("admin:auth_user_delete", args=[leaver.pk])
    assert "laptop" in browser.get(page).content.decode()
    assert browser.post(page, {"post": "yes"}).status_code == 302
    assert list(ApiToken.objects.all()) == [kept]
    assert Client().get("/api/runs", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    recorded = AuditEvent.objects.get(action="token.revoke")
    assert (recorded.target, recorded.actor) == ("token:laptop", "user:root")
    assert "leaver" in recorded.reason


def test_chosen_accounts_take_their_tokens_along(browser: Client) -> None:
    """The list's action does the same as the page of one account."""
    leaver = User.objects.create_user("leaver")
    tokens.create("laptop", ["runs:read"], owner=leaver)
    chosen = {"action": "delete_selected", "_selected_action": [leaver.pk], "post": "yes"}
    assert browser.post(reverse("admin:auth_user_changelist"), chosen).status_code == 302
    assert not ApiToken.objects.exists()
    assert AuditEvent.objects.filter(action="token.revoke", target="token:laptop").exists()
