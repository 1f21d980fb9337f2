"""Admin pages under odd numbers, and deletions that leave their row in the audit log."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from marketplace import curation, signatures
from marketplace.models import FeedSource, UpdatePolicy
from tests.marketplace import kit
from zelavis.models import AuditEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    """A browser of somebody who may everything."""
    browser = Client()
    browser.force_login(User.objects.create_superuser("root", password="x"))
    return browser


@pytest.mark.parametrize("number", ["²", "٣", "9" * 30, "9" * 5000])
def test_a_number_that_is_no_key_is_not_found(root: Client, number: str) -> None:
    """Digits of other scripts, raised ones and numbers without end name no row, and crash no page."""
    for kind in ("publisher", "plugin", "rating"):
        assert root.get(f"/admin/marketplace/{kind}/{number}/change/").status_code in (302, 404), kind


@pytest.mark.parametrize("seen", ["²", "9" * 5000, "-1", ""])
def test_a_revision_that_nobody_saw_is_a_conflict(root: Client, seen: str) -> None:
    """A form that names no revision that there can be decides nothing, and says so."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    path = f"/admin/marketplace/release/{release.pk}/verb/reject/"
    form = {"reason": "x", f"revision-{release.pk}": seen, f"digest-{release.pk}": release.digest}
    assert root.post(path, form).status_code == 409
    assert curation.find(release.pk).state == "submitted"


def test_every_deletion_in_the_admin_leaves_its_row(root: Client) -> None:
    """Sources and policies deleted one by one or as a list are in the audit log, each by name."""
    for name in ("one", "two", "three"):
        FeedSource.objects.create(name=name, public_key=signatures.server_public_key())
    policy = UpdatePolicy.objects.create(automatic=True)
    first, *others = FeedSource.objects.order_by("pk")
    root.post(f"/admin/marketplace/feedsource/{first.pk}/delete/", {"post": "yes"})
    chosen = {"action": "delete_selected", "_selected_action": [one.pk for one in others], "post": "yes"}
    root.post("/admin/marketplace/feedsource/", chosen)
    root.post(f"/admin/marketplace/updatepolicy/{policy.pk}/delete/", {"post": "yes"})
    other = UpdatePolicy.objects.create(automatic=True)
    chosen = {"action": "delete_selected", "_selected_action": [other.pk], "post": "yes"}
    root.post("/admin/marketplace/updatepolicy/", chosen)
    assert not FeedSource.objects.exists()
    assert not UpdatePolicy.objects.exists()
    rows = AuditEvent.objects.filter(action__in=("feed.unfollow", "policy.delete"), actor="user:root")
    assert sorted(row.target for row in rows) == ["feed:one", "feed:three", "feed:two", "policy:*", "policy:*"]
