"""The public catalogue: search, pages, feeds, and what they never show."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache
from django.test import Client
from rest_framework.test import APIClient

from marketplace import catalogue, curation, plugins, readmes
from marketplace.models import Plugin, Release
from tests.marketplace import kit
from zelavis.errors import InvalidRequest

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_cache() -> None:
    cache.clear()


def names(**query: Any) -> list[str]:
    """What a search finds."""
    return [plugin.name for plugin in catalogue.search(catalogue.Query(**query)).plugins]


@pytest.fixture
def shelf(db: None) -> dict[str, Any]:
    """Three public plugins and one that waits."""
    _, owner = kit.publisher()
    _, other = kit.publisher("umbra")
    cora = kit.curator()
    kit.approved(owner, cora, name="save-count", title="Save count", keywords=["statistics"])
    kit.approved(owner, cora, name="word-count", title="Word count", description="Counts words of pages.")
    kit.approved(other, cora, name="countdown", title="Clock", publisher="umbra", capabilities={}, license="MIT")
    kit.submitted(owner, name="secret-plan", title="Secret")
    Plugin.objects.filter(name="countdown").update(downloads=9)
    return {"owner": owner, "cora": cora}


def test_search_finds_beginnings_of_words(shelf: Any) -> None:
    """Words match by their beginning, all of them must match, and the name weighs most."""
    assert set(names(text="cou")) == {"save-count", "word-count", "countdown"}
    assert names(text="word count")[0] == "word-count"
    assert names(text="WORD-COUNT") == ["word-count"]
    assert names(text="words pages") == ["word-count"]
    assert names(text="secret") == []
    assert names(text="!!!") == []
    assert names()[0] == "countdown"
    assert names(sort="name") == ["countdown", "save-count", "word-count"]


def test_facets_narrow(shelf: Any) -> None:
    """Each facet narrows, with the number of public plugins of each value."""
    assert names(capability="kv", sort="name") == ["save-count", "word-count"]
    assert names(without="kv") == ["countdown"]
    assert names(publisher="umbra") == names(license="MIT") == ["countdown"]
    assert names(keyword="statistics") == ["save-count"]
    assert dict(catalogue.facets()["capability"]) == {"kv": 2}
    assert dict(catalogue.facets()["license"]) == {"Apache-2.0": 2, "MIT": 1}


def test_pages_follow_one_another(shelf: Any) -> None:
    """Cursors lead through every plugin once, in each order; a foreign cursor is refused."""
    for sort in ("popular", "updated", "name", "relevance"):
        seen: list[str] = []
        cursor = ""
        for _ in range(3):
            page = catalogue.search(catalogue.Query(text="cou", sort=sort), limit=1, cursor=cursor)
            seen += [plugin.name for plugin in page.plugins]
            cursor = page.following
        assert sorted(seen) == ["countdown", "save-count", "word-count"], sort
        assert cursor == ""
    for bad in ("x", "e30", "bnVsbA", "eyJzb3J0IjoibmFtZSJ9"):
        with pytest.raises(InvalidRequest):
            catalogue.search(catalogue.Query(sort="popular"), cursor=bad)


def test_the_api_lists_and_shows(shelf: Any) -> None:
    """The JSON API gives lists with facets, a plugin with README and releases, and refuses unknown parameters."""
    api = APIClient()
    page = api.get("/api/marketplace/plugins", {"q": "cou", "limit": "2", "facets": "1"}).json()
    assert len(page["data"]) == 2
    assert {one["value"] for one in page["facets"]["license"]} == {"Apache-2.0", "MIT"}
    assert len(api.get(page["next"]).json()["data"]) == 1
    one = api.get("/api/marketplace/plugins/save-count").json()
    assert one["readmeHtml"].startswith("<h3>Save count")
    assert [release["version"] for release in one["releases"]] == ["1.0.0"]
    for bad in ({"limit": "0"}, {"limit": "²"}, {"sort": "x"}, {"nope": "1"}, {"cursor": "%"}, {"q": "x" * 300}):
        assert api.get("/api/marketplace/plugins", bad).status_code == 400, bad


def test_g16_nothing_hidden_leaks_anywhere(shelf: Any) -> None:
    """G16: what is not public is in no list, page, feed, facet, count, bundle or icon, for anybody."""
    cora, owner = shelf["cora"], shelf["owner"]
    hidden = {"secret-plan": "1.0.0"}
    bad = kit.approved(owner, cora, name="bad-one", title="Badone", keywords=["hush"])
    curation.act(bad, "quarantine", actor=cora, reason="x")
    off = kit.approved(owner, cora, name="off-shelf", title="Offshelf", keywords=["hush"])
    plugins.act(off.plugin, "delist", actor=cora, reason="x")
    gone = kit.approved(owner, cora, name="gone-one", title="Goneone")
    plugins.act(gone.plugin, "takedown", actor=cora, reason="x")
    newer = kit.submitted(owner, name="save-count", version="2.0.0-hush", title="Hushtitle")
    hidden |= {"bad-one": "1.0.0", "off-shelf": "1.0.0", "gone-one": "1.0.0", "save-count": newer.version}
    cache.clear()
    api, browser = APIClient(), Client()
    shown = "".join(
        answer.content.decode()
        for answer in (
            api.get("/api/marketplace/plugins", {"facets": "1"}),
            api.get("/api/marketplace/plugins", {"q": "hush"}),
            api.get("/api/marketplace/plugins/save-count"),
            api.get("/api/marketplace/plugins/save-count/releases"),
            api.get("/api/marketplace/publishers/acme"),
            api.get("/api/marketplace/allowlist"),
            browser.get("/marketplace/"),
            browser.get("/marketplace/feed.atom"),
            browser.get("/marketplace/publishers/acme"),
            browser.get("/marketplace/plugins/save-count"),
        )
    )
    for name in ("secret-plan", "bad-one", "off-shelf", "gone-one", "hush", "Hush"):
        assert name not in shown.replace("“hush”", ""), name
    for name, version in hidden.items():
        release = f"/api/marketplace/plugins/{name}/releases/{version}"
        paths = [release, f"{release}/bundle", f"/marketplace/plugins/{name}/{version}"]
        if name != "save-count":
            rest = ("", "/releases", "/ratings")
            paths += [f"/api/marketplace/plugins/{name}{end}" for end in rest] + [f"/marketplace/plugins/{name}"]
            paths.append(f"/marketplace/feed.atom?plugin={name}")
        for path in paths:
            assert Client().get(path).status_code == 404, path


def test_pages_are_rendered_and_escaped(shelf: Any) -> None:
    """Every page answers without script or style in line, and shows strangers' text as text."""
    kit.approved(
        shelf["owner"],
        shelf["cora"],
        {"README.md": b"# Hi\n\n<script>alert(1)</script>\n\n[x](https://e.example)\n"},
        name="loud-one",
        title='<img src=x onerror="alert(1)">',
        links={"homepage": "https://e.example/?a=1&b=2"},
    )
    browser = Client()
    for path in (
        "/marketplace/",
        "/marketplace/?q=loud",
        "/marketplace/?capability=kv&sort=name",
        "/marketplace/plugins/loud-one",
        "/marketplace/plugins/loud-one/1.0.0",
        "/marketplace/publishers/acme",
    ):
        answer = browser.get(path)
        text = answer.content.decode()
        assert answer.status_code == 200
        assert 'onerror="alert' not in text
        assert "<script" not in text
        assert "style=" not in text
        assert text.count("<h1") == 1
    assert browser.get("/marketplace/?cursor=x").status_code == 400
    assert browser.post("/marketplace/").status_code == 405


def test_the_atom_feed_is_well_formed(shelf: Any) -> None:
    """The feed parses as XML, newest first, whatever the titles hold."""
    kit.approved(shelf["owner"], shelf["cora"], name="odd-one", title="A & B <c>", version="3.0.0")
    root = ET.fromstring(Client().get("/marketplace/feed.atom").content)
    titles = [one.text for one in root.iter("{http://www.w3.org/2005/Atom}title")]
    assert titles[1] == "A & B <c> 3.0.0"
    assert len(titles) == 5


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt&colon;alert(1))",
        "![x](data:text/html;base64,PHNjcmlwdD4=)",
        "<svg/onload=alert(1)>",
        "<style>*{display:none}</style>",
        "<iframe src=//e.example></iframe>",
        '[x](https://e.example "onclick=alert(1)")',
        "![pixel](https://track.example/p.gif)",
        "<a href='vbscript:x'>x</a>",
        "[x]: data:text/html,x\n\n[x]",
    ],
)
def test_f05_readmes_can_do_nothing(text: str) -> None:
    """F05: what a README becomes holds no script, style, frame, picture or odd link."""
    shown = str(readmes.render(text)).lower()
    for bad in ("<script", "<svg", "<style", "<iframe", "<img", "javascript:", "data:text", "vbscript:", "<a onclick"):
        if f'href="{bad}' in shown or (bad.startswith("<") and bad in shown):
            pytest.fail(f"{bad} in {shown}")


def test_f05_hostile_markdown_is_rendered_in_time() -> None:
    """F05: nesting and emphasis made to be slow take no longer than a second, and too long a text is cut."""
    import time

    for text in (
        "*a _b " * 20_000,
        "[" * 60_000,
        "> " * 30_000,
        "`" * 60_000,
        "- " * 20_000,
        "<" * 60_000,
        "|a" * 30_000,
    ):
        began = time.process_time()
        readmes._render(text[: readmes.MAX_CHARACTERS])
        assert time.process_time() - began < 2, text[:6]


def test_a_yanked_release_is_marked_and_downloads_still() -> None:
    """A yanked release stays readable for those who run it, and is no longer the newest."""
    _, owner = kit.publisher()
    cora = kit.curator()
    kit.approved(owner, cora)
    second = kit.approved(owner, cora, version="1.1.0")
    curation.act(second, "yank", actor=owner, reason="Broken.")
    api = APIClient()
    assert api.get("/api/marketplace/plugins/save-count").json()["version"] == "1.0.0"
    bundle = api.get("/api/marketplace/plugins/save-count/releases/1.1.0/bundle")
    assert (bundle.status_code, bundle["ETag"]) == (200, f'"{second.digest}"')
    assert "Yanked" in Client().get("/marketplace/plugins/save-count/1.1.0").content.decode()
    assert Release.objects.get(pk=second.pk).state == "yanked"


def test_the_atom_feed_is_valid(shelf: Any) -> None:
    """RFC 4287: each required element once, absolute and unique ids, times of RFC 3339, an author, one self link."""
    for path in ("/marketplace/feed.atom", "/marketplace/feed.atom?plugin=save-count"):
        answer = Client().get(path)
        assert answer.headers["Content-Type"] == "application/atom+xml; charset=utf-8"
        feed = ET.fromstring(answer.content)
        space = "{http://www.w3.org/2005/Atom}"
        assert feed.tag == f"{space}feed"
        entries = feed.findall(f"{space}entry")
        for element in (feed, *entries):
            for name in ("id", "title", "updated"):
                assert len(element.findall(f"{space}{name}")) == 1, name
            moment = datetime.fromisoformat(element.findtext(f"{space}updated", ""))
            assert moment.tzinfo is not None
            assert urlsplit(element.findtext(f"{space}id", "")).netloc
        assert [one.get("rel") for one in feed.findall(f"{space}link")] == ["self"]
        ids = [one.findtext(f"{space}id") for one in entries]
        assert entries
        assert len(set(ids)) == len(ids)
        for one in entries:
            assert one.findtext(f"{space}author/{space}name")
            assert [bool(link.get("href")) for link in one.findall(f"{space}link")] == [True]
            assert one.findtext(f"{space}summary") is not None
