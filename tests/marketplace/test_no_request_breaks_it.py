"""Whatever is sent to a route of the marketplace, the answer is never a 5xx (I10)."""

from __future__ import annotations

import json
import random
import string
from typing import Any
from urllib.parse import quote

import pytest
from rest_framework.test import APIClient

from marketplace.api.urls import urlpatterns
from marketplace.models import Release
from tests.marketplace import kit
from zelavis import tokens

pytestmark = pytest.mark.django_db
ODD: list[Any] = [
    None, True, 0, -1, 2**63, 1.5, "", "x", "\u0000", "a" * 6000, "\ud800", "é\u202e", [], [[]], {}, {"a": 1},
    "0" * 64, "user:x", "../..", "%00", "1.0.0", "owner", "https://localhost/x", ["x"] * 50,
]  # fmt: skip
MEMBERS = (
    "reason", "digest", "revision", "specifier", "signature", "slug", "name", "website", "username", "role", "days",
    "plugin", "publicKey", "state", "verified", "publisher", "size", "stars", "text", "version", "value",
)  # fmt: skip
WORDS = ["save-count", "1.0.0", "acme", "approve", "note", "x", "\u0000", "%", "é", "a" * 300, "../x", "0", "cora", "-"]


def body(rng: random.Random) -> bytes:
    """A JSON object with some members, or something that is none."""
    if rng.random() < 0.1:
        return rng.choice([b"", b"[]", b"null", b"{", b"\xff", b'"x"', b"1", b"[" * 500])
    value = {name: rng.choice(ODD) for name in rng.sample(MEMBERS, rng.randint(0, 6))}
    return json.dumps(value).encode()


@pytest.mark.parametrize("pattern", urlpatterns, ids=lambda pattern: str(pattern.name))
def test_no_request_breaks_a_route(pattern: Any) -> None:
    """Random bodies, parameters, headers and path parts get an answer below 500, for somebody who may do everything."""
    rng = random.Random(str(pattern.name))
    _, owner = kit.publisher(owner=kit.person("root", is_superuser=True))
    release = kit.submitted(owner)
    kit.approved(owner, kit.curator(), version="0.9.0")
    _, secret = tokens.create("every", ["*"], owner=owner.user)
    client = APIClient()
    client.raise_request_exception = False
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    good = {"release_id": release.pk, "name": "save-count", "version": "1.0.0", "slug": "acme", "verb": "note"}
    for _ in range(12):
        parts = {
            name: good[name] if name in good and rng.random() < 0.7 else rng.choice(WORDS)
            for name in pattern.pattern.converters
        }
        path = "/" + str(pattern.pattern)
        for name, value in parts.items():
            path = path.replace(f"<str:{name}>", quote(value, safe=""))
        query = "".join(rng.choices(string.printable, k=rng.randint(0, 12)))
        names = ("q", "limit", "cursor", "sort", "facets", "after", "capability")
        path += "?" + "&".join(f"{name}={quote(query)}" for name in rng.sample(names, rng.randint(0, 2)))
        method = rng.choice(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"])
        kind = rng.choice(["application/json"] * 4 + ["application/zip", "text/plain", ""])
        offset = rng.choice(["0", "x", "-1", "9" * 30])
        answer = client.generic(method, path, body(rng), content_type=kind, HTTP_UPLOAD_OFFSET=offset)
        assert answer.status_code < 500, (method, path, answer.content[:300])
    assert Release.objects.filter(version="0.9.0").exists()


def test_a_nul_is_refused_wherever_it_stands() -> None:
    """A NUL in a path, a parameter or a form's field is a clear 400 or 409, never a failing query."""
    from django.test import Client
    from django.urls import reverse

    _, owner = kit.publisher()
    release = kit.submitted(owner)
    client = Client()
    client.force_login(kit.curator().user)
    for path in (
        "/marketplace/plugins/a%00b/1",
        "/marketplace/?q=%00",
        "/api/marketplace/plugins/%00",
        "/admin/?q=%00",
    ):
        assert client.get(path).status_code in (400, 404), path
    url = reverse("admin:marketplace_release_verb", args=[release.pk, "reject"])
    data = {f"revision-{release.pk}": 1, f"digest-{release.pk}": release.digest, "reason": "a\0b"}
    assert client.post(url, data).status_code == 409
