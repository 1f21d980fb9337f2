"""Who may publish, with which key, and what happens when a plugin changes hands (F11, G11)."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone

from marketplace import actors, bundles, intake, keys, plugins, publishers, rollouts, signatures, transfers
from marketplace.errors import InvalidSignature, NameTaken, NotAMember, PublisherExists, QueueFull
from marketplace.models import Plugin, PublisherToken, Release, Transfer, UpdatePolicy
from tests.marketplace import kit
from zelavis.errors import Conflict, InvalidRequest

pytestmark = pytest.mark.django_db


def signed(key: Ed25519PrivateKey, content: bytes) -> str:
    """A publisher's signature over a bundle."""
    return base64.b64encode(key.sign(signatures.BUNDLE_CONTEXT + bundles.digest_of(content).encode())).decode()


def test_f11_only_a_live_key_of_the_publisher_signs() -> None:
    """F11: a stranger's, revoked or expired key, or a signature over other bytes, is refused."""
    acme, owner = kit.publisher()
    umbra, other = kit.publisher("umbra")
    mine, theirs, content = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate(), kit.bundle()
    for publisher, key, who in ((acme, mine, owner), (umbra, theirs, other)):
        keys.add(publisher, base64.b64encode(key.public_key().public_bytes_raw()).decode(), actor=who)
    for bad in (signed(theirs, content), signed(mine, b"other"), "x", base64.b64encode(b"y" * 64).decode()):
        with pytest.raises(InvalidSignature):
            intake.submit(content, actor=owner, signature=bad)
    release = intake.submit(content, actor=owner, signature=signed(mine, content))
    assert release.signed_by is not None
    later = kit.bundle(version="1.0.1")
    acme.keys.update(expires_at=timezone.now() - timedelta(days=1))
    with pytest.raises(InvalidSignature):
        intake.submit(later, actor=owner, signature=signed(mine, later))
    acme.keys.update(expires_at=None)
    keys.revoke(acme, release.signed_by.key_id, actor=owner)
    with pytest.raises(InvalidSignature):
        intake.submit(later, actor=owner, signature=signed(mine, later))


def test_f11_who_signs_does_not_stop_signing() -> None:
    """F11: an unsigned bundle of a publisher who signs is refused, and is no update of a signed release."""
    acme, owner = kit.publisher()
    key, content = Ed25519PrivateKey.generate(), kit.bundle()
    keys.add(acme, base64.b64encode(key.public_key().public_bytes_raw()).decode(), actor=owner)
    intake.submit(content, actor=owner, signature=signed(key, content))
    with pytest.raises(InvalidSignature):
        kit.submitted(owner, version="1.0.1")


def test_keys_and_publishers_are_checked() -> None:
    """A key is an Ed25519 key, known once; a slug is a slug, taken once, and needs a person."""
    acme, owner = kit.publisher()
    for bad in ("", "abc", base64.b64encode(b"x" * 31).decode()):
        with pytest.raises(InvalidRequest):
            keys.add(acme, bad, actor=owner)
    public = base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    keys.add(acme, public, actor=owner)
    with pytest.raises(Conflict):
        keys.add(acme, public, actor=owner)
    with pytest.raises(PublisherExists):
        publishers.create("acme", name="Acme", actor=owner)
    with pytest.raises(PublisherExists):
        publishers.create("zelavis", name="Us", actor=owner)
    for slug in ("a", "Acme", "a--b", "ac me", "-acme"):
        with pytest.raises(InvalidRequest):
            publishers.create(slug, name="x", actor=owner)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://a.example", "https://bank.example@evil.example", "x"])
def test_f07_a_website_is_a_plain_web_address(url: str) -> None:
    """F07: what a publisher's page links to is http or https, without a name before the host."""
    with pytest.raises(InvalidRequest):
        publishers.create("linked", name="Linked", website=url, actor=kit.actor(kit.person("linus")))
    assert publishers.create(
        "linked", name="L", website="https://a.example/b?c=d@e", actor=kit.actor(kit.person("lea"))
    )


def test_g11_a_person_who_leaves_takes_their_tokens_along() -> None:
    """G11: tokens that a person made for a publisher end when the person leaves."""
    acme, owner = kit.publisher()
    mia = kit.actor(kit.person("mia"))
    publishers.add_member(acme, mia.user, role="owner", actor=owner)
    token, _ = publishers.make_token(acme, name="ci", days=9, actor=mia)
    robot = actors.Actor(name="token:ci", token_prefix=token.prefix, scopes=frozenset({"marketplace:publish"}))
    intake.submit(kit.bundle(), actor=robot)
    publishers.remove_member(acme, mia.user, actor=owner)
    assert PublisherToken.objects.get().revoked_at is not None
    with pytest.raises(NotAMember):
        intake.submit(kit.bundle(version="1.0.1"), actor=robot)


def test_g11_a_plugin_changes_hands_and_updates_freeze() -> None:
    """G11: the new owner accepts; tokens end, waiting submissions end, the badge goes, no site updates by itself."""
    acme, owner = kit.publisher()
    umbra, other = kit.publisher("umbra")
    cora = kit.curator()
    first = kit.approved(owner, cora)
    plugins.act(first.plugin, "official", actor=cora, reason="Ours.")
    waiting = kit.submitted(owner, version="1.1.0")
    token, _ = publishers.make_token(acme, name="ci", days=9, plugin=first.plugin, actor=owner)
    UpdatePolicy.objects.create(automatic=True, cooldown_hours=0)
    with pytest.raises(NotAMember):
        transfers.offer(first.plugin, umbra, actor=other, reason="Mine.")
    transfers.offer(first.plugin, umbra, actor=owner, reason="Sold.")
    with pytest.raises(Conflict):
        transfers.offer(first.plugin, umbra, actor=owner, reason="Again.")
    with pytest.raises(NotAMember):
        transfers.accept(first.plugin, actor=owner)
    moved = transfers.accept(first.plugin, actor=other)
    waiting.refresh_from_db()
    token.refresh_from_db()
    assert (moved.publisher, moved.ownership, moved.source) == (umbra, 2, "community")
    assert (waiting.state, token.revoked_at is not None) == ("withdrawn", True)
    with pytest.raises(NameTaken):
        kit.submitted(owner, version="1.2.0")
    newer = kit.approved(other, cora, version="1.2.0", publisher="umbra")
    found, why = rollouts.may_update_itself(moved, first, consented=first.capabilities, ownership=1)
    assert (found, "changed hands" in why) == (None, True)
    assert rollouts.may_update_itself(moved, first, consented=first.capabilities, ownership=2)[0] == newer
    assert Transfer.objects.get().state == "accepted"


def test_g12_names_are_never_used_again() -> None:
    """G12: the name of a plugin that was taken down is taken for ever, also for its publisher."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    plugins.act(release.plugin, "takedown", actor=kit.curator(), reason="x")
    with pytest.raises(NameTaken):
        kit.submitted(owner, version="2.0.0")
    _, other = kit.publisher("umbra")
    with pytest.raises(NameTaken):
        kit.submitted(other, publisher="umbra", version="3.0.0")


def test_g12_look_alikes_are_found_in_the_catalogue() -> None:
    """G12: a name that reads like another publisher's is refused, one letter off is a warning."""
    from marketplace.errors import ReleaseRefused

    _, owner = kit.publisher()
    kit.submitted(owner)
    _, other = kit.publisher("umbra")
    with pytest.raises(ReleaseRefused, match="reads like"):
        kit.submitted(other, publisher="umbra", name="sav3-count")
    near = kit.submitted(other, publisher="umbra", name="save-counts")
    assert near.findings.get(rule="names.near").severity == "warning"


def test_g01_the_queue_of_a_publisher_is_bounded() -> None:
    """G01: a flood of submissions ends at a bound, and none of them is public."""
    _, owner = kit.publisher()
    for number in range(intake.MAX_WAITING):
        kit.submitted(owner, version=f"1.0.{number}")
    with pytest.raises(QueueFull):
        kit.submitted(owner, version="2.0.0")
    assert not Plugin.objects.public().exists()
    assert Release.objects.count() == intake.MAX_WAITING
