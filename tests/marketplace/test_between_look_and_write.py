"""What changes between the look and the write: uploads ended twice, names lost, plugins that changed hands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from marketplace import curation, intake, plugins, publishers, transfers, uploads
from marketplace.audit import run
from marketplace.errors import NameTaken, NotAMember, NotPermitted, OwnRelease, PublisherSuspended, UploadNotFound
from marketplace.models import Plugin, Release, Upload
from tests.marketplace import kit

pytestmark = pytest.mark.django_db


def begun(owner: Any, content: bytes) -> Upload:
    """An upload with all its bytes, not yet ended."""
    upload = uploads.begin(
        "save-count", publisher="acme", size=len(content), digest=hashlib.sha256(content).hexdigest(), actor=owner
    )
    return uploads.append(upload, offset=0, content=content)


def test_an_upload_ended_twice_at_once_is_one_release() -> None:
    """Who read the upload before another request ended it gets the same release, and the upload stays."""
    _, owner = kit.publisher()
    upload = begun(owner, kit.bundle())
    early = uploads.find(upload.pk, actor=owner)
    release = uploads.finish(uploads.find(upload.pk, actor=owner), actor=owner)
    assert uploads.finish(early, actor=owner).pk == release.pk
    assert Upload.objects.get().release_id == release.pk


def test_an_upload_that_went_meanwhile_is_not_found() -> None:
    """A piece for, or the end of, an upload that was dropped a moment ago is a plain 404."""
    _, owner = kit.publisher()
    upload = begun(owner, kit.bundle())
    Upload.objects.all().delete()
    with pytest.raises(UploadNotFound):
        uploads.append(upload, offset=upload.received, content=b"x")
    with pytest.raises(UploadNotFound):
        uploads.finish(upload, actor=owner)


def meanwhile(monkeypatch: pytest.MonkeyPatch, deed: Callable[[], Any]) -> None:
    """Do something once while the next bundle is audited: after the look, before the write."""
    real, done = run.audit, []

    def audit(*given: Any, **named: Any) -> Any:
        report = real(*given, **named)
        if not done:
            done.append(True)
            deed()
        return report

    monkeypatch.setattr(run, "audit", audit)


def test_g12_a_name_taken_during_the_audit_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """G12: of two publishers who submit one new name at once the second gets no release under the first one's."""
    _, acme = kit.publisher()
    _, rival = kit.publisher("rival")
    meanwhile(monkeypatch, lambda: kit.submitted(rival, publisher="rival", version="9.0.0"))
    with pytest.raises(NameTaken):
        kit.submitted(acme)
    assert [str(one.publisher) for one in Release.objects.all()] == [str(Plugin.objects.get().publisher)]


def test_g11_a_plugin_that_changes_hands_during_the_audit_takes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """G11: what the old owner has on its way in when a plugin changes hands is refused."""
    _, acme = kit.publisher()
    rival, other = kit.publisher("rival")
    plugin = kit.approved(acme, kit.curator()).plugin

    def change_hands() -> None:
        transfers.offer(plugin, rival, actor=acme, reason="Sold.")
        transfers.accept(plugin, actor=other)

    meanwhile(monkeypatch, change_hands)
    with pytest.raises(NameTaken):
        kit.submitted(acme, version="2.0.0")
    assert Release.objects.count() == 1


def test_g11_who_is_taken_off_during_the_audit_publishes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """G11: somebody who is removed, or whose publisher is suspended, while their bundle is read publishes nothing."""
    acme, owner = kit.publisher()
    mia = kit.actor(kit.person("mia"))
    publishers.add_member(acme, mia.user, role="maintainer", actor=owner)
    meanwhile(monkeypatch, lambda: publishers.remove_member(acme, mia.user, actor=owner))
    with pytest.raises(NotAMember):
        kit.submitted(mia)
    meanwhile(monkeypatch, lambda: publishers.set_state(acme, state="suspended", actor=kit.curator(), reason="Bad."))
    with pytest.raises(PublisherSuspended):
        kit.submitted(owner)
    assert not Release.objects.exists()


def handed_over(verb: str) -> tuple[Release, Any, Any]:
    """A release on which a verb was done, of a plugin that then went to ``rival``; with its old and new owner."""
    _, acme = kit.publisher()
    rival, other = kit.publisher("rival", owner=kit.curator("rita").user)
    release = kit.submitted(acme)
    curation.act(release, verb, actor=kit.curator(), reason="x", digest=release.digest)
    transfers.offer(release.plugin, rival, actor=acme, reason="Sold.")
    transfers.accept(release.plugin, actor=other)
    return curation.find(release.pk), acme, other


def test_g05_a_curator_who_took_a_plugin_over_decides_nothing_about_it() -> None:
    """G05: a release submitted by the old owner is one's own once the plugin is: nobody lets it out of quarantine."""
    release, _, rita = handed_over("quarantine")
    with pytest.raises(OwnRelease):
        curation.act(release, "release", actor=rita, reason="Mine.")
    curation.act(release, "release", actor=kit.curator("neutral"), reason="Harmless.")
    with pytest.raises(OwnRelease):
        curation.act(release, "approve", actor=rita, reason="Mine.", digest=release.digest)


def test_a_new_owner_yanks_what_it_took_over_and_the_old_one_does_not() -> None:
    """Yanking is a right of whoever owns the plugin now, also for releases of the owner before."""
    release, acme, rita = handed_over("approve")
    plain = kit.actor(kit.person("plain"))
    publishers.add_member(release.plugin.publisher, plain.user, role="maintainer", actor=rita)
    with pytest.raises(NotPermitted):
        curation.act(release, "yank", actor=acme, reason="Spite.")
    assert curation.act(release, "yank", actor=plain, reason="Broken.").state == "yanked"


def test_a_suspended_publisher_gives_nothing_away() -> None:
    """A suspension holds the plugins too: they are neither offered nor accepted, only a curator moves them."""
    acme, owner = kit.publisher()
    rival, other = kit.publisher("rival")
    cora = kit.curator()
    plugin = kit.approved(owner, cora).plugin
    transfers.offer(plugin, rival, actor=owner, reason="Sold.")
    publishers.set_state(acme, state="suspended", actor=cora, reason="Bad.")
    with pytest.raises(PublisherSuspended):
        transfers.accept(plugin, actor=other)
    transfers.withdraw(plugin, actor=owner)
    with pytest.raises(PublisherSuspended):
        transfers.offer(plugins.get(plugin.name), rival, actor=owner, reason="Quickly.")
    assert plugins.act(plugin, "transfer", actor=cora, reason="Saved.", value="rival").publisher == rival


def test_g05_who_left_the_publisher_after_submission_is_no_second_pair_of_eyes() -> None:
    """G05: leaving a publisher while its release waits does not make one a stranger to that release."""
    acme, owner = kit.publisher()
    mia = kit.curator("mia")
    publishers.add_member(acme, mia.user, role="maintainer", actor=owner)
    release = intake.submit(kit.bundle(), actor=owner)
    publishers.remove_member(acme, mia.user, actor=mia)
    with pytest.raises(OwnRelease):
        curation.act(release, "approve", actor=mia, reason="Mine.", digest=release.digest)
