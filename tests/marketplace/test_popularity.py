"""G15: numbers that cannot be faked cheaply."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from marketplace import moderation, popularity, publishers
from marketplace.actors import Actor
from marketplace.errors import RatingRefused
from marketplace.models import Plugin, Rating
from tests.marketplace import kit
from tests.marketplace.test_api_publish import client

pytestmark = pytest.mark.django_db


def test_a_download_counts_once_a_day_and_network() -> None:
    """The same network counts once a day for a release; another network, day or token counts again."""
    _, owner = kit.publisher()
    release = kit.approved(owner, kit.curator())
    nobody, now = Actor(name="anonymous"), timezone.now()

    def count(address: str, actor: Actor = nobody, days: int = 0) -> bool:
        return popularity.count_download(release, actor=actor, address=address, now=now + timedelta(days=days))

    assert count("192.0.2.1")
    assert not count("192.0.2.99")
    assert count("198.51.100.1")
    assert count("2001:db8:0:1::1")
    assert not count("2001:db8:0:1:ffff::2")
    assert count("192.0.2.1", days=1)
    assert count("192.0.2.1", actor=Actor(name="token:a", token_prefix="aaaaaaaa"))
    assert Plugin.objects.get().downloads == 5


def test_g15_a_publisher_does_not_count_once_a_token() -> None:
    """G15: tokens that a person makes for themselves add nothing: a person counts once a day, with however many."""
    publisher, owner = kit.publisher()
    release = kit.approved(owner, kit.curator())
    path = "/api/marketplace/plugins/save-count/releases/1.0.0/bundle"
    for number in range(3):
        _, secret = publishers.make_token(publisher, name=f"t{number}", actor=owner, days=1)
        api = APIClient()
        api.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        assert api.get(path).status_code == 200
    other = Actor(name="token:b", user=kit.person("bo"), token_prefix="bbbbbbbb")
    assert popularity.count_download(release, actor=other, address="192.0.2.1")
    assert Plugin.objects.get().downloads == 2


def test_one_network_adds_only_so_many_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network without a token adds at most its share a day, whatever it downloads."""
    monkeypatch.setattr(popularity, "MOST_A_DAY", 2)
    _, owner = kit.publisher()
    cora = kit.curator()
    releases = [kit.approved(owner, cora, version=f"1.0.{n}") for n in range(4)]
    counted = [popularity.count_download(one, actor=Actor(name="anonymous"), address="192.0.2.1") for one in releases]
    assert counted == [True, True, False, False]


def test_only_an_install_rates_and_only_once() -> None:
    """A rating needs an install of the same person or token, replaces one's own, and is never the publisher's."""
    _, owner = kit.publisher()
    release = kit.approved(owner, kit.curator())
    path = "/api/marketplace/plugins/save-count"
    ana = client(kit.person("ana"), "plugins:write")
    assert ana.post(f"{path}/ratings", {"stars": 5}, format="json").json()["error"] == "rating_refused"
    for _ in range(2):
        assert ana.post(f"{path}/installs", {"version": "1.0.0"}, format="json").status_code == 201
    assert ana.post(f"{path}/ratings", {"stars": 5, "text": "Good."}, format="json").status_code == 201
    assert ana.post(f"{path}/ratings", {"stars": 3}, format="json").status_code == 201
    assert ana.post(f"{path}/ratings", {"stars": 6}, format="json").status_code == 400
    plugin = Plugin.objects.get()
    assert (plugin.installs, plugin.rating, plugin.rating_count) == (1, 3.0, 1)
    popularity.record_install(release, actor=owner, site="here")
    with pytest.raises(RatingRefused):
        popularity.rate(plugin, stars=5, text="", actor=owner)
    assert APIClient().post(f"{path}/installs", {"version": "1.0.0"}, format="json").status_code == 401
    moderation.act(Rating.objects.get(), "hide", actor=kit.curator("second"), reason="Abuse.")
    plugin.refresh_from_db()
    assert (plugin.rating, plugin.rating_count) == (None, 0)
    assert APIClient().get(f"{path}/ratings").json()["data"] == []
