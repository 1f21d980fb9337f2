"""Feeds and allow-lists that are carried over as files: verified, with permission, reason and audit row (H12, H17)."""

from __future__ import annotations

import json
from datetime import timedelta
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from marketplace import actors, feed, following, importing, polling, releases, signatures
from marketplace.errors import FeedRefused, NotPermitted, ReasonRequired, ReleaseBlocked
from marketplace.models import AllowedDigest, FeedSource, ForeignRevocation, Release
from tests.marketplace import kit
from tests.marketplace.test_feeds import line
from zelavis.models import AuditEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(db: None) -> FeedSource:
    """A source that is never asked and trusts this server's own key."""
    key = signatures.server_public_key()
    return FeedSource.objects.create(name="headquarters", public_key=key, policy="open", only_allowed=True)


@pytest.fixture
def release(db: None) -> Release:
    """An approved release."""
    _, owner = kit.publisher()
    return kit.approved(owner, kit.curator())


def allowlist() -> bytes:
    """What the server publishes now."""
    return bytes(APIClient().get("/api/marketplace/allowlist").content)


def test_the_command_imports_what_another_server_published(
    source: FeedSource, release: Release, tmp_path: Path
) -> None:
    """Before the list nothing installs on a site that keeps to it; after it what it names does, and nothing else."""
    with pytest.raises(ReleaseBlocked, match="not on the allow-list of headquarters"):
        releases.installable("save-count")
    file = tmp_path / "allowlist.json"
    file.write_bytes(allowlist())
    out = StringIO()
    call_command("import_feed", str(file), "--source", "headquarters", "--reason", "November.", stdout=out)
    assert out.getvalue().strip() == "headquarters: serial 0, 0 revoked, 1 allowed"
    assert releases.installable("save-count").pk == release.pk
    row = AuditEvent.objects.filter(action="feed.import").get()
    assert (row.target, row.reason, row.changes["allowed"]) == ("feed:headquarters", "November.", [None, 1])
    other = following.accept(source, _sealed(allowed=[{"digest": "b" * 64}], serial=1), now=timezone.now())
    assert other.allowed == frozenset(("b" * 64,))
    with pytest.raises(ReleaseBlocked):
        releases.installable("save-count")
    assert AllowedDigest.objects.count() == 1


def _sealed(**changes: object) -> str:
    return json.dumps(feed.envelope({**feed.payload(now=timezone.now(), with_allowed=True), **changes}))


def test_the_command_says_what_is_wrong_and_changes_nothing(
    source: FeedSource, release: Release, tmp_path: Path
) -> None:
    """A missing file, an unknown source, a forged, expired or older document: one line with its code."""
    file = tmp_path / "list.json"

    def problem(content: bytes, name: str = "headquarters", reason: str = "x") -> str:
        file.write_bytes(content)
        with pytest.raises(CommandError) as told:
            call_command("import_feed", str(file), "--source", name, "--reason", reason)
        return str(told.value)

    old = (timezone.now() - timedelta(days=8)).isoformat()
    assert problem(allowlist(), name="nobody").startswith("feed_source_not_found")
    assert problem(allowlist(), reason=" ").startswith("reason_required")
    for content in (b"", b"\xff\xfe", b"[]", allowlist().replace(b'"signature":"', b'"signature":"A')):
        assert problem(content).startswith("feed_refused")
    assert "expired" in problem(
        _sealed(issuedAt=old, expiresAt=(timezone.now() - timedelta(days=1)).isoformat()).encode()
    )
    for odd in ([{"digest": 1}], [{"digest": "short"}], [{}], "x", {"digest": "a"}):
        assert problem(_sealed(allowed=odd).encode()).startswith("feed_refused"), odd
    importing.take(source, _sealed(serial=5).encode(), actor=_operator(), reason="x")
    assert "serial 4" in problem(_sealed(serial=4).encode())
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_feed", str(tmp_path / "none"), "--source", "headquarters", "--reason", "x")
    source.refresh_from_db()
    assert source.serial == 5


def _operator() -> actors.Actor:
    return kit.actor(kit.person("olga", "import_feedsource", "view_feedsource", "change_feedsource"))


def test_an_operator_imports_on_the_page(source: FeedSource, release: Release) -> None:
    """The source's page leads to a form for the file and the reason; what is wrong with it is said, nothing changes."""
    browser = Client()
    browser.force_login(_operator().user)
    url = reverse("admin:marketplace_feedsource_import", args=[source.pk])
    assert url in browser.get(reverse("admin:marketplace_feedsource_change", args=[source.pk])).content.decode()
    assert browser.get(url).status_code == 200
    assert browser.post(url, {"reason": "x"}).status_code == 409
    assert browser.post(url, {"reason": " ", "document": BytesIO(allowlist())}).status_code == 409
    forged = browser.post(url, {"reason": "x", "document": BytesIO(b"{}")})
    assert (forged.status_code, "no envelope" in forged.content.decode()) == (409, True)
    assert not AllowedDigest.objects.exists()
    sent = {"reason": "November.", "document": BytesIO(allowlist()), "serial": "99", "public_key": "x"}
    assert browser.post(url, sent).status_code == 302
    assert AllowedDigest.objects.get().digest == release.digest
    source.refresh_from_db()
    assert (source.serial, source.outcome) == (0, "ok")
    row = AuditEvent.objects.filter(action="feed.import").get()
    assert (row.actor, row.reason) == ("user:olga", "November.")


def test_importing_needs_permission_and_reason(source: FeedSource) -> None:
    """Who may only see or change sources does not import, on the page or by the verb."""
    viewer = kit.person("viewer", "view_feedsource", "change_feedsource")
    url = reverse("admin:marketplace_feedsource_import", args=[source.pk])
    browser = Client()
    browser.force_login(viewer)
    assert url not in browser.get(reverse("admin:marketplace_feedsource_change", args=[source.pk])).content.decode()
    for answer in (browser.get(url), browser.post(url, {"reason": "x", "document": BytesIO(allowlist())})):
        assert answer.status_code == 403
    with pytest.raises(NotPermitted):
        importing.take(source, allowlist(), actor=kit.actor(viewer), reason="x")
    with pytest.raises(ReasonRequired):
        importing.take(source, allowlist(), actor=_operator(), reason="")
    assert not AuditEvent.objects.filter(action="feed.import").exists()


def test_a_list_that_is_imported_also_revokes(source: FeedSource, release: Release) -> None:
    """The revocations of an allow-list stop bytes as those of a feed do."""
    document = _sealed(serial=3, revocations=[line(3, release.digest)])
    importing.take(source, document.encode(), actor=_operator(), reason="x")
    with pytest.raises(ReleaseBlocked, match="revoked by headquarters"):
        releases.installable("save-count")
    assert ForeignRevocation.objects.get().digest == release.digest


def test_the_list_of_a_large_catalogue_is_taken(source: FeedSource) -> None:
    """30,000 digests are more than is ever fetched, and are imported; a file beyond the bound is not read."""
    many = [{"plugin": f"plugin-{n}", "version": "1.0.0", "digest": f"{n:064x}"} for n in range(30_000)]
    document = _sealed(allowed=many).encode()
    assert len(document) > following.MAX_BYTES
    with pytest.raises(FeedRefused):
        following.accept(source, document.decode(), now=timezone.now())
    assert len(importing.take(source, document, actor=_operator(), reason="x").allowed or ()) == 30_000
    assert AllowedDigest.objects.filter(source=source).count() == 30_000

    class Endless(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return b"x" * min(size or 0, following.MAX_IMPORT + 1)

    with pytest.raises(FeedRefused, match="more than"):
        importing.read(Endless())


def test_a_source_without_a_place_is_never_asked(source: FeedSource) -> None:
    """Nothing is fetched for a source whose documents come as files."""
    FeedSource.objects.update(wake_at=timezone.now() - timedelta(hours=1))
    assert polling.poll() == 0
    assert polling.due() is None
