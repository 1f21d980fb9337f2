"""The curation queue and the review page."""

from __future__ import annotations

from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from marketplace import curation, demo, states
from marketplace.admin import module_page
from marketplace.models import Release
from sandbox import binary
from tests.marketplace import kit

pytestmark = pytest.mark.django_db


def signed_in(user: Any) -> Client:
    """A browser."""
    client = Client()
    client.force_login(user)
    return client


def form(release: Release, reason: str = "Read it.") -> dict[str, Any]:
    """What the confirmation page posts."""
    return {f"revision-{release.pk}": release.revision, f"digest-{release.pk}": release.digest, "reason": reason}


def test_the_queue_shows_the_oldest_first_with_delta_and_findings() -> None:
    """A curator sees each waiting release with what it asks for, its findings and its age, oldest first."""
    _, owner = kit.publisher()
    kit.submitted(owner, name="first-one", title="<b>First</b>")
    kit.submitted(owner, name="second-one", capabilities={})
    page = signed_in(kit.curator().user).get(reverse("admin:marketplace_release_queue")).content.decode()
    assert page.index("first-one") < page.index("second-one")
    assert "+ kv" in page
    assert "&lt;b&gt;First" in page
    assert "<b>First" not in page


def test_the_review_page_shows_what_a_decision_needs() -> None:
    """Manifest, capabilities with reasons, digest, findings, files and history are on the page, and nothing ran."""
    _, owner = kit.publisher()
    release = kit.submitted(owner, {"CHANGELOG.md": b"# <script>alert(1)</script>\n"})
    page = signed_in(kit.curator().user).get(reverse("admin:marketplace_release_change", args=[release.pk]))
    text = page.content.decode()
    for shown in (release.digest, "Keeps the counter of saves.", "content:afterSave", "readme.html", "plugin.mjs"):
        assert shown in text
    assert "<script>alert(1)" not in text
    assert reverse("admin:marketplace_release_verb", args=[release.pk, "approve"]) in text


def test_approving_asks_first_and_then_offers_to_install() -> None:
    """The GET page changes nothing; the POST approves with a reason; the review page then links to the install page."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    browser = signed_in(kit.curator().user)
    url = reverse("admin:marketplace_release_verb", args=[release.pk, "approve"])
    assert browser.get(url).status_code == 200
    release.refresh_from_db()
    assert release.state == "submitted"
    assert browser.post(url, form(release, reason=" ")).status_code == 409
    assert browser.post(url, form(release)).status_code == 302
    release.refresh_from_db()
    assert release.state == "approved"
    page = browser.get(reverse("admin:marketplace_release_change", args=[release.pk])).content.decode()
    assert f"{reverse('admin:zelavis_pluginentry_install', args=['save-count'])}?version=1.0.0" in page


def test_the_second_of_two_curators_gets_a_conflict() -> None:
    """G06: a page that was opened before somebody else decided cannot decide any more."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    first, second = signed_in(kit.curator("first").user), signed_in(kit.curator("second").user)
    seen = form(release)
    first.post(reverse("admin:marketplace_release_verb", args=[release.pk, "claim"]), seen)
    answer = second.post(reverse("admin:marketplace_release_verb", args=[release.pk, "reject"]), seen)
    assert answer.status_code == 409
    release.refresh_from_db()
    assert release.state == "in_review"


def test_a_viewer_sees_and_does_nothing() -> None:
    """G07: without the permission a page is shown without buttons, and posting is refused."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    browser = signed_in(kit.person("viewer", "view_release"))
    page = browser.get(reverse("admin:marketplace_release_change", args=[release.pk])).content.decode()
    assert "/verb/" not in page
    for verb in ("approve", "reject", "quarantine", "takedown", "claim", "comment"):
        url = reverse("admin:marketplace_release_verb", args=[release.pk, verb])
        assert browser.get(url).status_code == 403
        assert browser.post(url, form(release)).status_code == 403
    assert signed_in(kit.person("nothing")).get(reverse("admin:marketplace_release_queue")).status_code == 403


def test_files_are_shown_as_text() -> None:
    """Any file of the bundle can be read, with hidden characters shown as escapes and markup escaped."""
    _, owner = kit.publisher()
    release = kit.submitted(owner, {"notes.md": "a\u200bb <i>x</i>".encode()})
    browser = signed_in(kit.curator().user)
    url = reverse("admin:marketplace_release_file", args=[release.pk])
    text = browser.get(url, {"name": "notes.md"}).content.decode()
    assert "a\\u200bb &lt;i&gt;x" in text
    assert browser.get(url, {"name": "../../settings.py"}).status_code == 404


def test_several_are_rejected_with_one_reason() -> None:
    """The list's action leads to a page that names what is chosen and asks why; then each is decided by its verb."""
    _, owner = kit.publisher()
    chosen = [kit.submitted(owner, name=name) for name in ("one-plugin", "two-plugin")]
    browser = signed_in(kit.curator().user)
    listed = reverse("admin:marketplace_release_changelist")
    answer = browser.post(
        listed, {"action": "do_reject", "_selected_action": [release.pk for release in chosen]}, follow=True
    )
    assert "one-plugin" in answer.content.decode()
    data = {key: value for release in chosen for key, value in form(release, "Spam.").items()}
    browser.post(answer.request["PATH_INFO"], {"id": [release.pk for release in chosen], **data})
    assert set(Release.objects.values_list("state", flat=True)) == {"rejected"}


def test_every_screen_of_the_marketplace_answers() -> None:
    """Each list and page opens for a superuser, empty and filled."""
    root = kit.person("root", is_superuser=True)
    browser = signed_in(root)
    names = ["release", "plugin", "publisher", "feedentry", "feedsource", "updatepolicy", "rollout"]
    for _ in range(2):
        for name in names:
            assert browser.get(reverse(f"admin:marketplace_{name}_changelist")).status_code == 200, name
        assert browser.get(reverse("admin:marketplace_release_queue")).status_code == 200
        assert browser.get(reverse("admin:index")).status_code == 200
        if not Release.objects.exists():
            publisher, owner = kit.publisher()
            release = kit.approved(owner, kit.curator())
            kit.submitted(owner, version="1.1.0", capabilities={"kv": {**kit.KV, "callsPerInvocation": 70}})
    for name, key in (("plugin", release.plugin_id), ("publisher", publisher.pk)):
        assert browser.get(reverse(f"admin:marketplace_{name}_change", args=[key])).status_code == 200
    for one in Release.objects.all():
        page = browser.get(reverse("admin:marketplace_release_change", args=[one.pk]))
        assert page.status_code == 200
    assert browser.get(reverse("admin:marketplace_feedsource_add")).status_code == 200


def test_a_plugin_is_taken_down_with_all_its_releases() -> None:
    """Taking a plugin down removes each release and closes the name for ever."""
    _, owner = kit.publisher()
    release = kit.approved(owner, kit.curator())
    browser = signed_in(kit.person("root", is_superuser=True))
    url = reverse("admin:marketplace_plugin_verb", args=[release.plugin_id, "takedown"])
    assert browser.get(url).status_code == 200
    assert browser.post(url, {"reason": "Malware."}).status_code == 302
    release.refresh_from_db()
    assert (release.state, release.plugin.state) == ("removed", "removed")
    from marketplace.errors import NameTaken

    with pytest.raises(NameTaken):
        kit.submitted(owner, version="9.0.0")


def test_a_publisher_is_suspended_with_a_reason() -> None:
    """A suspended publisher cannot submit; the deed needs permission and reason and is in the audit log."""
    from marketplace.errors import PublisherSuspended
    from zelavis.models import AuditEvent

    publisher, owner = kit.publisher()
    browser = signed_in(kit.curator().user)
    url = reverse("admin:marketplace_publisher_verb", args=[publisher.pk, "suspend"])
    assert browser.post(url, {"reason": ""}).status_code == 409
    assert browser.post(url, {"reason": "Stolen account."}).status_code == 302
    with pytest.raises(PublisherSuspended):
        kit.submitted(owner)
    assert AuditEvent.objects.get(action="publisher.state").reason == "Stolen account."
    assert signed_in(kit.person("viewer", "view_publisher")).post(url, {"reason": "x"}).status_code == 403


def test_a_module_is_shown_by_what_its_bytes_say() -> None:
    """Sizes, sections, imports with types, exports and texts of a wasm entry are on its page, without running it."""
    kit.publisher()
    [release] = [one for one in demo.seed() if one.plugin.name == "word-count-rust"]
    page = signed_in(kit.curator().user).get(reverse("admin:marketplace_release_change", args=[release.pk]))
    text = page.content.decode()
    for shown in ("zelavis_v1.kv", "(i32, i32, i32, i32) → i32", "zelavis_alloc", "KiB at first", "content:afterSave"):
        assert shown in text[text.index('id="module"') : text.index('id="manifest"')], shown


def test_a_hostile_module_is_shown_bounded_and_as_text() -> None:
    """Markup in names and data is text, floods are cut and counted, a lying section of producers ends; junk is none."""
    markup = "<script>alert(1)</script>"
    flood = [(0, binary.name(f"{markup}{number}")) for number in range(5000)]
    lying = (0, binary.name("producers") + binary.unsigned(2**31) + binary.name("language") + binary.unsigned(9))
    data = (11, markup.encode() * 1000)
    source = binary.module([lying, data, *flood])
    exports = [[f"e{number}", "function"] for number in range(900)]
    module = module_page.describe(source, {"imports": [["env", markup]], "exports": exports})
    assert module is not None
    assert (module.exports.more, module.sections.more) == (900 - module_page.MOST_ROWS, 5002 - module_page.MOST_ROWS)
    assert (len(module.texts), module.texts_cut) == (module_page.MOST_TEXT, True)
    assert module.imports.shown == [(f"env.{markup}", "unknown to the host")]
    assert "cannot be read" in dict(module.facts)["Made with"]
    page = render_to_string("admin/marketplace/release/module.html", {"module": module})
    assert "<script>" not in page
    assert len(page) < 40_000
    for junk in (b"", b"\0asm", source[:-1], binary.HEADER + b"\x0b\xff"):
        assert module_page.describe(junk, {}) is None


def test_few_deeds_stand_in_the_bar_and_all_can_be_reached() -> None:
    """Two buttons and More: approve and request changes first; every deed that is possible is linked once."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    curator = kit.curator()
    text = signed_in(curator.user).get(reverse("admin:marketplace_release_change", args=[release.pk])).content.decode()
    bar, _, more = text[text.index("zl-sticky") :].partition("<details")
    assert [name for name in states.VERBS if f"/verb/{name}/" in bar] == ["request_changes", "approve"]
    possible = curation.possible(release, curator, now=timezone.now())
    assert len(possible) > 4
    for verb in possible:
        assert text.count(f"/verb/{verb.name}/") == 1, verb.name
        assert f"/verb/{verb.name}/" in bar + more
