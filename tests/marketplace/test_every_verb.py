"""Every verb of curation has permission, reason, audit row, page and API route; and nothing else changes a state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from marketplace import actors, curation, moderation, plugins, popularity, publishers, states
from marketplace.admin.publishers import VERBS as PUBLISHER_VERBS
from marketplace.api.publishing import PUBLISHER_VERBS as OWN_VERBS
from marketplace.models import Plugin, Publisher, Rating, Release, ReviewEvent
from tests.marketplace import kit
from tests.marketplace.test_api_publish import client
from zelavis.models import AuditEvent

pytestmark = pytest.mark.django_db
#: Verbs that lead to where a verb starts from.
BEFORE = {
    "unclaim": ["claim"],
    "release": ["approve", "quarantine"],
    "yank": ["approve"],
    "unyank": ["approve", "yank"],
    "resubmit": ["request_changes"],
    "relist": ["delist"],
    "community": ["official"],
    "restore": ["suspend"],
    "unverify": ["verify"],
    "show": ["hide"],
}
CASES = [
    *(("release", name) for name in states.VERBS),
    *(("plugin", name) for name in plugins.VERBS),
    *(("publisher", name) for name in PUBLISHER_VERBS),
    *(("rating", name) for name in moderation.VERBS),
]
#: What a verb needs beside the reason.
VALUES = {"transfer": "other", "deprecate": "Use another."}
BODIES: dict[str, dict[str, Any]] = {
    "verify": {"verified": True},
    "unverify": {"verified": False},
    "suspend": {"state": "suspended"},
    "restore": {"state": "active"},
}


class World:
    """A release, its plugin, publisher and a rating of it, and who decides about them."""

    def __init__(self) -> None:
        self.publisher, self.owner = kit.publisher()
        publishers.create("other", name="Other", actor=kit.actor(kit.person("other-owner")))
        self.curator = kit.curator()
        assert self.owner.user is not None
        self.owner.user.user_permissions.add(Permission.objects.get(codename="view_release"))

    def subject(self, kind: str, verb: str) -> Any:
        """The thing that a verb is about, where the verb starts from."""
        release = kit.submitted(self.owner)
        if kind == "rating":
            kit_ana = kit.actor(kit.person("ana"))
            curation.act(release, "approve", actor=self.curator, reason="x", digest=release.digest)
            popularity.record_install(release, actor=kit_ana, site="ana's")
            popularity.rate(release.plugin, stars=1, text="Bad.", actor=kit_ana)
        thing = {"release": release, "plugin": release.plugin, "publisher": self.publisher}.get(
            kind
        ) or Rating.objects.get()
        for name in BEFORE.get(verb, []):
            self.do(kind, thing, name)
        return type(thing).objects.get(pk=thing.pk)

    def do(self, kind: str, thing: Any, verb: str) -> None:
        """Do a verb by its function."""
        if kind == "release":
            row = Release.objects.get(pk=thing.pk)
            actor = self.owner if not states.VERBS[verb].permission else self.curator
            curation.act(row, verb, actor=actor, reason="Before.", digest=row.digest)
        elif kind == "plugin":
            plugins.act(
                Plugin.objects.get(pk=thing.pk), verb, actor=self.curator, reason="Before.", value=VALUES.get(verb, "")
            )
        elif kind == "publisher":
            publishers.set_state(thing, actor=self.curator, reason="Before.", **BODIES[verb])
        else:
            moderation.act(Rating.objects.get(), verb, actor=self.curator, reason="Before.")

    def who(self, kind: str, verb: str) -> actors.Actor:
        """Whose verb it is: a curator's, or of a person of the publisher."""
        return self.owner if kind == "release" and not states.VERBS[verb].permission else self.curator


@pytest.fixture
def world(db: None) -> World:
    return World()


def needs_reason(kind: str, verb: str) -> bool:
    return kind != "release" or states.VERBS[verb].reason


def state_of(thing: Any) -> dict[str, Any]:
    """Every column of the row now."""
    return dict(type(thing).objects.filter(pk=thing.pk).values().get())


def page_of(kind: str, thing: Any, verb: str) -> str:
    return reverse(f"admin:marketplace_{kind}_verb", args=[thing.pk, verb])


def fields(kind: str, thing: Any, verb: str, reason: str) -> dict[str, str]:
    """What the verb's form sends."""
    sent = {"reason": reason, "value": VALUES.get(verb, "")}
    if kind == "release":
        sent |= {f"revision-{thing.pk}": str(thing.revision), f"digest-{thing.pk}": thing.digest}
    return sent


def ask(api: APIClient, kind: str, thing: Any, verb: str, reason: str, **more: Any) -> Any:
    """The verb over HTTP."""
    root = "/api/marketplace"
    if kind == "release" and not states.VERBS[verb].permission:
        url, body = f"{root}/plugins/{thing.plugin.name}/releases/{thing.version}/{verb}", {"reason": reason}
    elif kind == "release":
        url, body = f"{root}/releases/{thing.pk}/{verb}", {"reason": reason, "digest": thing.digest}
    elif kind == "plugin":
        url, body = f"{root}/plugins/{thing.name}/verbs/{verb}", {"reason": reason, "value": VALUES.get(verb, "")}
    elif kind == "publisher":
        url, body = f"{root}/publishers/{thing.slug}/state", {"reason": reason, **BODIES[verb]}
    else:
        url, body = f"{root}/ratings/{thing.pk}/{verb}", {"reason": reason}
    return api.post(url, {**body, **more}, format="json")


def audited(kind: str, reason: str) -> list[AuditEvent]:
    """Rows about the thing; a plugin that is taken down leaves one for each of its releases too."""
    return list(AuditEvent.objects.filter(reason=reason, target__startswith=f"{kind}:"))


@pytest.mark.parametrize(("kind", "verb"), CASES)
def test_its_page_asks_and_does(world: World, kind: str, verb: str) -> None:
    """GET says what will happen and changes nothing; POST needs the reason, does it, and leaves one audit row."""
    thing = world.subject(kind, verb)
    browser = Client()
    browser.force_login(world.who(kind, verb).user)
    url, before = page_of(kind, thing, verb), state_of(thing)
    page = browser.get(url)
    assert page.status_code == 200
    assert '<textarea id="id_reason"' in page.content.decode()
    if needs_reason(kind, verb):
        assert browser.post(url, fields(kind, thing, verb, "  ")).status_code == 409
    assert state_of(thing) == before
    assert browser.post(url, fields(kind, thing, verb, "Because 4711.")).status_code == 302
    rows = audited(kind, "Because 4711.")
    # A note's text is for curators; the log keeps that there was one.
    assert len(rows) == (0 if verb == "note" else 1), [row.action for row in rows]
    assert AuditEvent.objects.filter(actor=world.who(kind, verb).name).exists()
    if verb not in ("comment", "note"):
        assert state_of(thing) != before


@pytest.mark.parametrize(("kind", "verb"), CASES)
def test_its_route_does_it_for_whom_it_is_for(world: World, kind: str, verb: str) -> None:
    """Without the permission 403 or 404, without the reason 400, and each changes nothing; then it does it, once."""
    thing = world.subject(kind, verb)
    before = state_of(thing)
    stranger = client(kit.person("stranger", "view_release"), "marketplace:review", "marketplace:publish")
    assert ask(stranger, kind, thing, verb, "x").status_code in (403, 404)
    assert ask(APIClient(), kind, thing, verb, "x").status_code == 401
    api = client(world.who(kind, verb).user, "marketplace:review", "marketplace:publish")
    if needs_reason(kind, verb):
        assert ask(api, kind, thing, verb, "").status_code == 400
    assert state_of(thing) == before
    done = ask(api, kind, thing, verb, "Because 4711.")
    assert done.status_code == 200, done.json()
    assert len(audited(kind, "Because 4711.")) == (0 if verb == "note" else 1)


@pytest.mark.parametrize("verb", [verb.name for verb in states.VERBS.values() if verb.standing])
def test_what_asks_for_no_reason_records_one(world: World, verb: str, root: Path) -> None:
    """Where a verb does not ask why, history and audit log say its standing reason, and a given one where there is."""
    thing = world.subject("release", verb)
    curation.act(thing, verb, actor=world.who("release", verb), reason=" ")
    standing = states.VERBS[verb].standing
    assert standing in (root / "docs/reference/curation.md").read_text()
    assert [event.action for event in audited("release", standing)] == [f"release.{verb}"]
    assert ReviewEvent.objects.filter(release=thing, verb=verb, text=standing).count() == 1


@pytest.mark.parametrize(("kind", "verb"), CASES)
def test_it_says_what_it_does_and_is_documented(kind: str, verb: str, root: Path) -> None:
    """Label, consequence and permission are there, the permission exists, and the page of curation names the verb."""
    if kind == "publisher":
        label, consequence, permission = *PUBLISHER_VERBS[verb][:2], "marketplace.verify_publisher"
    else:
        one: Any = {"release": states.VERBS, "plugin": plugins.VERBS, "rating": moderation.VERBS}[kind][verb]
        label, consequence, permission = one.label, one.consequence, one.permission
    assert label
    assert consequence.endswith(".")
    if permission:
        assert Permission.objects.filter(codename=permission.removeprefix("marketplace.")).exists()
    else:
        assert verb in OWN_VERBS
    assert f"`{verb}`" in (root / "docs/reference/curation.md").read_text()


@pytest.mark.parametrize(
    ("kind", "verb"),
    [
        case
        for case in CASES
        if case[1] in ("relist", "official", "transfer", "verify", "unverify", "suspend", "restore", "hide", "show")
    ],
)
def test_g05_nobody_favours_their_own(world: World, kind: str, verb: str) -> None:
    """G05: a curator who is of the publisher does none of the deeds that give its plugins, badge or stars more."""
    thing = world.subject(kind, verb)
    kit_owner = world.owner.user
    assert kit_owner is not None
    assert world.curator.user is not None
    kit_owner.user_permissions.set(world.curator.user.user_permissions.all())
    before = state_of(thing)
    browser = Client()
    browser.force_login(kit_owner)
    assert browser.post(page_of(kind, thing, verb), fields(kind, thing, verb, "x")).status_code == 403
    answer = ask(client(kit_owner, "marketplace:review"), kind, thing, verb, "x")
    assert (answer.status_code, answer.json()["error"]) == (403, "own_release")
    assert state_of(thing) == before


def test_g05_nobody_takes_a_plugin_for_their_own(world: World) -> None:
    """G05: a curator does not move somebody's plugin to the publisher they belong to."""
    thing = world.subject("plugin", "transfer")
    assert world.curator.user is not None
    publishers.add_member(
        Publisher.objects.get(slug="other"), world.curator.user, role="maintainer", actor=actors.system()
    )
    api = client(world.curator.user, "marketplace:review")
    assert ask(api, "plugin", thing, "transfer", "Mine.").json()["error"] == "own_release"
    assert Plugin.objects.get().publisher.slug == "acme"


def test_verifying_does_not_end_a_suspension(world: World) -> None:
    """Badge and suspension are two things: whoever changes one leaves the other."""
    for verb in ("suspend", "verify", "unverify"):
        world.do("publisher", world.publisher, verb)
        assert Publisher.objects.get(slug="acme").state == "suspended"
    api = client(world.curator.user, "marketplace:review")
    assert api.post("/api/marketplace/publishers/acme/state", {"reason": "x"}, format="json").status_code == 400


def test_nobody_edits_a_state_by_hand(world: World) -> None:
    """Columns that are sent along with a verb, or to any page or route by any method, change nothing."""
    release = world.subject("release", "comment")
    rows = [release, release.plugin, world.publisher]
    names = ("audit_state", "approved_digest", "audited_digest", "digest", "verified", "hidden", "_save")
    wanted = {**dict.fromkeys(names, "on"), "state": "approved", "source": "official", "revision": "77"}
    browser, root = Client(), kit.person("root", is_superuser=True)
    browser.force_login(root)
    before = [state_of(row) for row in rows]
    for row in rows:
        kind = type(row).__name__.lower()
        for url in (
            reverse(f"admin:marketplace_{kind}_change", args=[row.pk]),
            reverse(f"admin:marketplace_{kind}_changelist"),
            f"/admin/marketplace/{kind}/add/",
            f"/admin/marketplace/{kind}/{row.pk}/delete/",
        ):
            answer = browser.post(
                url,
                {
                    **wanted,
                    "form-TOTAL_FORMS": "1",
                    "form-INITIAL_FORMS": "1",
                    "form-0-id": row.pk,
                    "form-0-state": "approved",
                },
            )
            assert answer.status_code in (200, 302, 403, 404, 405), url
    assert [state_of(row) for row in rows] == before
    api = client(root, "*")
    for method in (api.patch, api.put, api.post, api.delete):
        for url in (
            "releases/" + release.pk,
            "plugins/save-count",
            "plugins/save-count/releases/1.0.0",
            "publishers/acme",
        ):
            assert method(f"/api/marketplace/{url}", wanted, format="json").status_code in (403, 404, 405), url
    told = ask(api, "release", release, "comment", "Hello.", state="approved", auditState="passed", plugin="x")
    assert told.status_code in (200, 400)
    sent = {**fields("release", release, "comment", "Hello."), **wanted}
    assert browser.post(page_of("release", release, "comment"), sent).status_code == 302
    changed = [
        {name for name, value in state_of(row).items() if value != old[name]}
        for row, old in zip(rows, before, strict=True)
    ]
    assert changed == [set(), set(), set()]


def test_the_released_columns_are_not_in_any_form() -> None:
    """No model of the marketplace but the followed feeds and update policies can be edited in the admin."""
    from django.contrib import admin

    editable = {
        model.__name__
        for model, page in admin.site._registry.items()
        if model._meta.app_label == "marketplace"
        and type(page).has_add_permission is admin.ModelAdmin.has_add_permission
    }
    assert editable <= {"FeedSource", "UpdatePolicy"}
