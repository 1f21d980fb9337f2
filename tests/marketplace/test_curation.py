"""A release's way from submission to decision."""

from __future__ import annotations

import pytest

from marketplace import approvals, curation, intake, releases, signatures
from marketplace.errors import (
    AuditNotPassed,
    DigestMismatch,
    NotPermitted,
    OwnRelease,
    ReasonRequired,
    ReleaseBlocked,
    ReleaseYanked,
    ReviewConflict,
    VersionTaken,
    WrongState,
)
from marketplace.models import CheckResult, Release, ReviewEvent
from tests.marketplace import kit
from zelavis.models import AuditEvent

pytestmark = pytest.mark.django_db


def test_a_submission_waits_with_a_positive_row_of_every_check() -> None:
    """A submitted release is not installable, and each required check has left a passing row for its digest."""
    from marketplace.audit.run import required

    _, owner = kit.publisher()
    release = kit.submitted(owner)
    assert (release.state, release.audit_state, release.risk) == ("submitted", "passed", "low")
    rows = CheckResult.objects.filter(release=release, digest=release.digest, outcome="pass")
    assert {row.family for row in rows} == set(required())
    with pytest.raises(Exception) as caught:
        releases.installable("save-count")
    assert caught.value.code == "nothing_installable"  # type: ignore[attr-defined]


def test_approval_binds_to_the_digest_and_makes_it_installable() -> None:
    """After approval exactly these bytes are installable, with a signed record and a history."""
    _, owner = kit.publisher()
    release = kit.approved(owner, kit.curator())
    found = releases.installable("save-count")
    assert found.pk == release.pk
    assert releases.entry_source(found) == kit.SOURCE
    assert approvals.record_holds(found, signatures.server_public_key())
    assert [event.verb for event in ReviewEvent.objects.filter(release=release)] == ["submit", "approve"]
    deed = AuditEvent.objects.get(action="release.approve")
    assert (deed.actor, deed.reason, deed.changes["state"]) == ("user:cora", "Read it.", ["submitted", "approved"])


def test_the_same_bytes_again_are_the_same_release_and_other_bytes_never() -> None:
    """F08: a version is one set of bytes for ever, also after it was taken down."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    assert intake.submit(kit.bundle(), actor=owner).pk == release.pk
    with pytest.raises(VersionTaken):
        kit.submitted(owner, {"README.md": b"# other\n"})
    curation.act(release, "takedown", actor=kit.curator(), reason="Copied.")
    with pytest.raises(VersionTaken):
        kit.submitted(owner, {"README.md": b"# other\n"})


def test_nobody_decides_about_their_own() -> None:
    """G05: neither the submitter nor anybody of the publisher decides, whatever permissions they hold."""
    _, owner = kit.publisher(owner=kit.person("both", "review_release", is_superuser=True))
    release = kit.submitted(owner)
    for verb in ("approve", "reject", "claim", "request_changes"):
        with pytest.raises(OwnRelease):
            curation.act(release, verb, actor=owner, reason="Mine.", digest=release.digest)


def test_a_permission_and_a_reason_are_needed() -> None:
    """Without the permission or the reason a verb changes nothing and leaves no row."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    before = AuditEvent.objects.count()
    with pytest.raises(NotPermitted):
        curation.act(release, "approve", actor=kit.actor(kit.person("viewer", "view_release")), reason="x")
    with pytest.raises(ReasonRequired):
        curation.act(release, "approve", actor=kit.curator(), reason="  ")
    release.refresh_from_db()
    assert (release.state, AuditEvent.objects.count()) == ("submitted", before)


def test_a_risky_release_needs_two_people() -> None:
    """G05: a release of high risk is approved by two different people, not twice by one, nor by a token of nobody."""
    from marketplace.actors import Actor

    _, owner = kit.publisher()
    asked = {"email:send": {"reason": "Greets people by letter."}}
    source = kit.SOURCE.replace(b"ctx.kv.get", b"ctx.email.send")
    release = kit.submitted(owner, {"plugin.mjs": source}, capabilities={**asked, "kv": kit.KV})
    assert release.risk == "high"
    first, second = kit.curator("first"), kit.curator("second")
    nobody = Actor(name="token:ci", token_prefix="abcdefgh", scopes=frozenset({"marketplace:review"}))
    with pytest.raises(NotPermitted):
        curation.act(release, "approve", actor=nobody, reason="Ok.")
    assert curation.act(release, "approve", actor=first, reason="Ok.").state == "in_review"
    with pytest.raises(ReviewConflict):
        curation.act(release, "approve", actor=first, reason="Ok again.")
    assert curation.act(release, "approve", actor=second, reason="Ok too.").state == "approved"


def test_an_old_revision_is_a_conflict() -> None:
    """G06: who acts on what they saw before somebody else changed it gets a conflict."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    seen = release.revision
    curation.act(release, "claim", actor=kit.curator("first"), revision=seen)
    with pytest.raises(ReviewConflict):
        curation.act(release, "reject", actor=kit.curator("second"), reason="No.", revision=seen)
    with pytest.raises(ReviewConflict):
        curation.act(release, "reject", actor=kit.curator("third"), reason="No.")


def test_approval_is_for_the_bytes_that_were_read() -> None:
    """G04: approving another digest than the release's is refused."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    with pytest.raises(DigestMismatch):
        curation.act(release, "approve", actor=kit.curator(), reason="Ok.", digest="0" * 64)


def test_the_database_refuses_an_approval_of_unaudited_bytes() -> None:
    """G04: even a hand-written row cannot be approved for bytes that were not audited and approved."""
    from django.db import IntegrityError, transaction

    _, owner = kit.publisher()
    release = kit.submitted(owner)
    with pytest.raises(IntegrityError), transaction.atomic():
        Release.objects.filter(pk=release.pk).update(state="approved")


def test_swapped_bytes_are_found_at_approval_and_at_install() -> None:
    """F10: bytes that are not those of the digest are never approved nor given out."""
    from marketplace.models import Blob

    _, owner = kit.publisher()
    release = kit.submitted(owner)
    Blob.objects.filter(digest=release.digest).update(content=kit.bundle(title="Other"))
    with pytest.raises(DigestMismatch):
        curation.act(release, "approve", actor=kit.curator(), reason="Ok.")
    with pytest.raises(DigestMismatch):
        releases.entry_source(release)


def test_a_check_without_a_pass_blocks_approval(monkeypatch: pytest.MonkeyPatch) -> None:
    """G02: a check that could not run is no pass, and a decision on it is refused."""
    from marketplace import reaudit
    from marketplace.audit import run
    from marketplace.audit.base import Family

    audit = run.audit

    def broken(subject: object) -> object:
        raise MemoryError

    _, owner = kit.publisher()
    release = kit.submitted(owner)
    families = [*run.FAMILIES[:-1], Family(name="licence", text="", rules=(), check=broken)]  # type: ignore[arg-type]
    assert reaudit.again(release, families=families).state == "inconclusive"
    assert reaudit.again(release, families=run.FAMILIES[:-1]).state == "inconclusive"
    release.refresh_from_db()
    assert (release.audit_state, release.audited_digest) == ("inconclusive", "")
    monkeypatch.setattr(run, "FAMILIES", tuple(families))
    monkeypatch.setattr(reaudit.run, "audit", lambda subject: audit(subject, families=families))
    with pytest.raises(AuditNotPassed):
        curation.act(release, "approve", actor=kit.curator(), reason="Ok.")
    release.refresh_from_db()
    assert release.state == "submitted"


def test_changes_are_requested_and_answered() -> None:
    """The publisher answers a request for changes; the clock of the queue leaves out the time it took."""
    from datetime import timedelta

    from django.utils import timezone

    start = timezone.now()
    _, owner = kit.publisher()
    release = intake.submit(kit.bundle(), actor=owner, now=start)
    cora = kit.curator()
    curation.act(release, "request_changes", actor=cora, reason="Say why.", now=start + timedelta(hours=1))
    with pytest.raises(WrongState):
        curation.act(release, "approve", actor=cora, reason="Ok.")
    back = curation.act(release, "resubmit", actor=owner, reason="Because.", now=start + timedelta(hours=11))
    assert (back.state, back.author_seconds) == ("submitted", 36000)
    assert back.waited_seconds(start + timedelta(hours=12)) == 7200
    newer = kit.submitted(owner, version="1.0.1")
    curation.act(newer, "request_changes", actor=cora, reason="Once more.")
    kit.submitted(owner, version="1.0.2")
    newer.refresh_from_db()
    assert newer.state == "withdrawn"


def test_quarantine_stops_and_release_returns() -> None:
    """A quarantined release is blocked, told to the listeners and the feed; released it returns to what it was."""
    from marketplace import feed, ports

    _, owner = kit.publisher()
    cora = kit.curator()
    release = kit.approved(owner, cora)
    heard: list[ports.StateChange] = []
    ports.STATE_LISTENERS.append(heard.append)
    try:
        curation.act(release, "quarantine", actor=cora, reason="Phones home.")
        with pytest.raises(ReleaseBlocked):
            releases.installable("save-count", "1.0.0")
        assert [line["action"] for line in feed.revocations()] == ["quarantine"]
        assert curation.act(release, "release", actor=cora, reason="It did not.").state == "approved"
        assert feed.revocations() == []
        assert [change.action for change in heard] == ["quarantine", "restore"]
        curation.act(release, "yank", actor=owner, reason="Broken.")
        with pytest.raises(ReleaseYanked):
            releases.installable("save-count", "1.0.0")
        assert [change.action for change in heard][-1] == "yank"
    finally:
        ports.STATE_LISTENERS.remove(heard.append)


def test_history_cannot_be_edited_nor_a_release_deleted() -> None:
    """Releases stay as tombstones and their history as written."""
    from django.db.models import ProtectedError

    _, owner = kit.publisher()
    release = kit.submitted(owner)
    with pytest.raises(ProtectedError):
        release.delete()
    with pytest.raises(ProtectedError):
        Release.objects.all().delete()
    event = ReviewEvent.objects.get()
    event.text = "other"
    with pytest.raises(ProtectedError):
        event.save()
