"""G15: ratings come from verified installs, and a curator hides what is abuse, with a reason."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from marketplace import moderation, popularity
from marketplace.errors import OwnRelease, WrongState
from marketplace.models import Plugin, Rating
from tests.marketplace import kit
from tests.marketplace.test_api_publish import client
from zelavis.models import AuditEvent

pytestmark = pytest.mark.django_db
PATH = "/api/marketplace/plugins/save-count/ratings"


@pytest.fixture
def rating(db: None) -> Rating:
    """One star with a text full of markup."""
    _, owner = kit.publisher()
    release = kit.approved(owner, kit.curator("first"))
    ana = kit.actor(kit.person("ana"))
    popularity.record_install(release, actor=ana, site="ana's")
    return popularity.rate(Plugin.objects.get(), stars=1, text="<script>alert(1)</script>", actor=ana)


def test_a_curator_hides_and_shows_over_the_api(rating: Rating) -> None:
    """Hiding takes a rating out of list and mean and leaves an audit row with reason; showing brings it back."""
    cora = client(kit.curator().user, "marketplace:review")
    verb = f"/api/marketplace/ratings/{rating.pk}"
    assert cora.post(f"{verb}/hide", {"reason": " "}, format="json").status_code == 400
    assert cora.post(f"{verb}/hide", {"reason": "Abuse."}, format="json").json()["hidden"] is True
    assert APIClient().get(PATH).json()["data"] == []
    assert [one["hidden"] for one in cora.get(PATH).json()["data"]] == [True]
    assert Plugin.objects.get().rating is None
    again = cora.post(f"{verb}/hide", {"reason": "Abuse."}, format="json")
    assert (again.status_code, again.json()["error"]) == (409, "wrong_state")
    row = AuditEvent.objects.filter(action="rating.hide").get()
    assert (row.reason, row.changes) == ("Abuse.", {"hidden": [False, True]})
    assert cora.post(f"{verb}/show", {"reason": "A mistake."}, format="json").status_code == 200
    assert Plugin.objects.get().rating == 1.0
    assert cora.post("/api/marketplace/ratings/999999/hide", {"reason": "x"}, format="json").status_code == 404
    assert cora.post(f"{verb}/erase", {"reason": "x"}, format="json").status_code == 400


def test_only_who_may_moderate_does(rating: Rating) -> None:
    """Without the scope or the permission nothing is hidden, and a curator of the publisher never decides."""
    verb = f"/api/marketplace/ratings/{rating.pk}/hide"
    assert APIClient().post(verb, {"reason": "x"}, format="json").status_code == 401
    viewer = kit.person("viewer", "view_rating", "view_release")
    assert client(viewer, "plugins:write").post(verb, {"reason": "x"}, format="json").status_code == 403
    assert client(viewer, "marketplace:review").post(verb, {"reason": "x"}, format="json").status_code == 403
    owner = kit.actor(rating.plugin.publisher.memberships.get().user)
    owner.user.user_permissions.set(kit.curator().user.user_permissions.all())
    again = kit.actor(type(owner.user).objects.get(pk=owner.user.pk))
    with pytest.raises(OwnRelease):
        moderation.act(rating, "hide", actor=again, reason="I do not like it.")
    assert moderation.possible(rating, again) == []
    assert not Rating.objects.get().hidden


def test_a_curator_hides_on_the_page(rating: Rating) -> None:
    """The list leads to the rating, it to a page that says what happens and asks why; a second try is a conflict."""
    browser = Client()
    browser.force_login(kit.curator().user)
    assert "save-count" in browser.get(reverse("admin:marketplace_rating_changelist")).content.decode()
    url = reverse("admin:marketplace_rating_change", args=[rating.pk])
    page = browser.get(url).content.decode()
    assert "<script>alert" not in page
    confirm = reverse("admin:marketplace_rating_verb", args=[rating.pk, "hide"])
    assert confirm in page
    assert "does not count" in browser.get(confirm).content.decode()
    assert not Rating.objects.get().hidden
    assert browser.post(confirm, {"reason": ""}).status_code == 409
    assert browser.post(confirm, {"reason": "Abuse.", "stars": "5", "hidden": ""}).status_code == 302
    row = Rating.objects.get()
    assert (row.hidden, row.stars) == (True, 1)
    assert browser.post(confirm, {"reason": "Abuse."}).status_code == 409
    assert "Abuse." in browser.get(url).content.decode()
    assert browser.get(reverse("admin:marketplace_rating_verb", args=[rating.pk, "erase"])).status_code == 404
    viewer = Client()
    viewer.force_login(kit.person("viewer", "view_rating"))
    assert viewer.get(url).status_code == 200
    assert viewer.post(confirm, {"reason": "x"}).status_code == 403


def test_a_hidden_rating_stays_hidden_when_it_is_written_anew(rating: Rating) -> None:
    """Whoever wrote it can change it, but not bring it back."""
    moderation.act(rating, "hide", actor=kit.curator(), reason="Abuse.")
    with pytest.raises(WrongState):
        moderation.act(rating, "hide", actor=kit.curator("another"), reason="Abuse.")
    ana = kit.actor(rating.install.user)
    popularity.rate(rating.plugin, stars=2, text="Still.", actor=ana)
    row = Rating.objects.get()
    assert (row.hidden, row.stars) == (True, 2)
    assert Plugin.objects.get().rating_count == 0
