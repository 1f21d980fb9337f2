"""The signed feed: made, followed, refused (H12, H17, F11)."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone
from rest_framework.test import APIClient

from marketplace import curation, feed, following, polling, ports, releases, signatures
from marketplace.errors import FeedRefused, ReleaseBlocked
from marketplace.models import FeedSource, ForeignRevocation
from tests.marketplace import kit

pytestmark = pytest.mark.django_db


@pytest.fixture
def source() -> FeedSource:
    """A source that trusts this server's own key."""
    return FeedSource.objects.create(
        name="elsewhere", url="https://feed.example/feed", public_key=signatures.server_public_key(), policy="open"
    )


def sealed(now: datetime, **changes: Any) -> str:
    """A signed feed with changes made before it was signed."""
    return json.dumps(feed.envelope({**feed.payload(now=now, with_allowed=False), **changes}))


def line(serial: int, digest: str, action: str = "quarantine") -> dict[str, Any]:
    """One revocation."""
    return {
        "serial": serial,
        "plugin": "save-count",
        "version": "1.0.0",
        "digest": digest,
        "action": action,
        "reason": "Bad.",
    }


def test_the_feed_carries_what_holds_now_and_its_serial_only_grows() -> None:
    """Every revocation raises the serial, also taking one back; the newest line of a digest holds."""
    _, owner = kit.publisher()
    cora = kit.curator()
    release = kit.approved(owner, cora)
    api = APIClient()

    def read() -> following.Feed:
        return following.read(api.get("/api/marketplace/feed").content, public_key=signatures.server_public_key())

    serials = [read().serial]
    for verb in ("quarantine", "release", "yank", "unyank", "takedown"):
        curation.act(release, verb, actor=cora, reason="x")
        serials.append(read().serial)
    assert serials == sorted(set(serials))
    assert [one["action"] for one in read().revocations] == ["remove"]
    listed = api.get("/api/marketplace/allowlist").content
    assert following.read(listed, public_key=signatures.server_public_key()).allowed == frozenset()


def test_a_followed_feed_stops_the_bytes_and_lets_them_go(source: FeedSource) -> None:
    """What a followed feed revokes cannot be installed and is told to the listeners; what it lets go can again."""
    _, owner = kit.publisher()
    release = kit.approved(owner, kit.curator())
    now, heard = timezone.now(), []
    ports.STATE_LISTENERS.append(heard.append)
    try:
        following.accept(source, sealed(now, serial=5, revocations=[line(5, release.digest)]), now=now)
        with pytest.raises(ReleaseBlocked, match="elsewhere: Bad"):
            releases.installable("save-count")
        following.accept(source, sealed(now, serial=6, revocations=[]), now=now)
        assert releases.installable("save-count").pk == release.pk
    finally:
        ports.STATE_LISTENERS.remove(heard.append)
    assert [(change.action, change.actor) for change in heard] == [
        ("quarantine", "feed:elsewhere"),
        ("restore", "feed:elsewhere"),
    ]


def test_h12_an_older_feed_is_refused(source: FeedSource) -> None:
    """H12: a serial below the highest held is refused as stale, and what was revoked stays revoked."""
    now = timezone.now()
    following.accept(source, sealed(now, serial=9, revocations=[line(9, "a" * 64)]), now=now)
    with pytest.raises(FeedRefused) as caught:
        following.accept(source, sealed(now, serial=8, revocations=[]), now=now)
    assert caught.value.members["outcome"] == "stale"
    with pytest.raises(FeedRefused):
        following.accept(source, sealed(now - timedelta(hours=1), serial=9, revocations=[]), now=now)
    assert ForeignRevocation.objects.count() == 1


def test_h12_a_serial_is_not_given_out_twice(source: FeedSource) -> None:
    """H12: an issuer that lost lines and counts on from an older serial is refused: what it revoked stays so."""
    now = timezone.now()
    held = [line(3, "a" * 64), line(9, "b" * 64)]
    following.accept(source, sealed(now, serial=9, revocations=held), now=now)
    for serial, told in ((9, []), (9, [line(3, "a" * 64)]), (9, [*held, line(4, "c" * 64)]), (12, [line(9, "c" * 64)])):
        with pytest.raises(FeedRefused) as caught:
            following.accept(source, sealed(now, serial=serial, revocations=told), now=now)
        assert caught.value.members["outcome"] == "stale"
    assert sorted(one.digest[0] for one in ForeignRevocation.objects.all()) == ["a", "b"]
    following.accept(source, sealed(now, serial=9, revocations=held), now=now)
    following.accept(source, sealed(now, serial=11, revocations=[line(11, "a" * 64, "remove")]), now=now)
    assert [(one.serial, one.action) for one in ForeignRevocation.objects.all()] == [(11, "remove")]


def test_h12_expired_forged_and_future_feeds_are_refused(source: FeedSource) -> None:
    """H12: a feed that expired, is signed by another key, was changed, or comes from the future is refused."""
    now = timezone.now()
    stranger = Ed25519PrivateKey.generate()
    payload = json.dumps(feed.payload(now=now, with_allowed=False)).encode()
    forged = {
        "keyId": signatures.key_id(base64.b64decode(source.public_key)),
        "payload": base64.b64encode(payload).decode(),
        "signature": base64.b64encode(stranger.sign(feed.CONTEXT + payload)).decode(),
    }
    changed = json.loads(sealed(now))
    changed["payload"] = base64.b64encode(base64.b64decode(changed["payload"]) + b" ").decode()
    no_context = {**forged, "signature": signatures.sign(payload)}
    documents = [
        sealed(now - timedelta(days=8)),
        sealed(now + timedelta(hours=1)),
        json.dumps(forged),
        json.dumps(changed),
        json.dumps(no_context),
        "{}",
        "[]",
        "nonsense",
        json.dumps({"payload": 1, "signature": 2}),
        sealed(now, serial=-1),
        sealed(now, serial="9"),
        sealed(now, revocations=[{"digest": "x"}]),
        sealed(now, revocations=[line(99, "a" * 64)]),
        sealed(now, type="zelavis.release.v1"),
        sealed(now, expiresAt="tomorrow"),
    ]
    for document in documents:
        with pytest.raises(FeedRefused):
            following.accept(source, document, now=now)
    source.refresh_from_db()
    assert (source.serial, source.document) == (0, "")


def test_h12_a_stale_feed_means_what_the_site_declared(source: FeedSource) -> None:
    """H12: beyond expiry and grace a closed site installs nothing, an open one goes on."""
    _, owner = kit.publisher()
    release = kit.approved(owner, kit.curator())
    now = timezone.now()
    following.accept(source, sealed(now), now=now)
    late = now + feed.LASTS + timedelta(seconds=source.grace_seconds + 1)
    assert following.state(source, now=now) == "fresh"
    assert following.state(source, now=now + feed.LASTS) == "stale"
    assert following.state(source, now=late) == "expired"
    assert releases.installable("save-count", now=late).pk == release.pk
    FeedSource.objects.update(policy="closed")
    assert releases.installable("save-count", now=now + feed.LASTS).pk == release.pk
    with pytest.raises(ReleaseBlocked, match="stale"):
        releases.installable("save-count", now=late)


def test_a_stored_feed_is_verified_again(source: FeedSource) -> None:
    """What is stored is not trusted for being stored."""
    now = timezone.now()
    following.accept(source, sealed(now), now=now)
    assert following.document(source).serial == 0
    source.document = source.document.replace('"payload": "', '"payload": "AA')
    with pytest.raises(FeedRefused):
        following.document(source)


def test_an_unreachable_feed_says_so_and_is_asked_again(source: FeedSource) -> None:
    """A source that cannot be reached keeps its state, says why, and has its next time."""
    now = timezone.now()
    FeedSource.objects.update(url="http://127.0.0.1:9/feed", wake_at=now)
    assert polling.due(now=now) == 0
    assert polling.poll(now=now) == 1
    assert polling.poll(now=now) == 0
    source.refresh_from_db()
    assert source.outcome == "unreachable"
    assert source.wake_at == now + timedelta(seconds=source.every_seconds)


def test_only_https_and_no_passwords_are_followed() -> None:
    """A feed's place is https, or http on this machine, and carries no password."""
    for bad in ("http://feed.example/x", "ftp://x", "https://a:b@feed.example/", "file:///etc/passwd"):
        assert polling.url_problem(bad)
    for good in ("https://feed.example/x", "http://127.0.0.1:8000/x"):
        assert not polling.url_problem(good)


def test_h17_a_forged_record_does_not_hold() -> None:
    """H17: a release record is about its bytes and capabilities, under the server's key and context alone."""
    from marketplace import approvals

    _, owner = kit.publisher()
    release = kit.approved(owner, kit.curator())
    key = signatures.server_public_key()
    assert approvals.record_holds(release, key)
    record = json.loads(release.record_text)
    assert (record["delta"]["added"], record["approvedBy"]) == (["kv"], ["user:cora"])
    release.record_text = release.record_text.replace('"low"', '"high"')
    assert not approvals.record_holds(release, key)
