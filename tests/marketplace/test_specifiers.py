"""Bundles fetched from where their author keeps them, and places that are never asked."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from marketplace import bundles, specifiers
from marketplace.errors import SpecifierRefused
from tests.marketplace import kit
from tests.marketplace.test_api_publish import client


class _Handler(http.server.BaseHTTPRequestHandler):
    answers: dict[str, tuple[int, bytes]] = {}
    seen: list[dict[str, str]] = []

    def do_GET(self) -> None:
        type(self).seen.append(dict(self.headers))
        status, body = self.answers.get(self.path, (404, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def place(settings: Any) -> Iterator[str]:
    """A real server on loopback, which this test's setting lets specifiers reach."""
    _Handler.seen = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    settings.SANDBOX_LOOPBACK_HOSTS = (f"localhost:{server.server_port}",)
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.django_db
def test_a_specifier_becomes_a_submission(place: str) -> None:
    """The bytes are fetched once, without cookies or credentials, and the release says where from."""
    _, owner = kit.publisher()
    content = kit.bundle()
    _Handler.answers = {"/b.zip": (200, content)}
    by = client(owner.user, "marketplace:publish")
    body = {"specifier": f"{place}/b.zip", "digest": bundles.digest_of(content)}
    answer = by.post("/api/marketplace/plugins/save-count/releases", body, format="json")
    assert answer.status_code == 201, answer.json()
    from marketplace.models import Release

    assert Release.objects.get().specifier == f"{place}/b.zip"
    assert not {"Cookie", "Authorization"} & set(_Handler.seen[0])
    wrong = by.post("/api/marketplace/plugins/save-count/releases", {**body, "digest": "0" * 64}, format="json")
    assert (wrong.status_code, wrong.json()["rule"]) == (422, "specifier_digest")


@pytest.mark.django_db
def test_nothing_is_fetched_for_strangers(place: str) -> None:
    """Somebody who is of no publisher makes this server ask nobody."""
    _Handler.answers = {"/b.zip": (200, kit.bundle())}
    by = client(kit.person("stranger"), "marketplace:publish")
    answer = by.post("/api/marketplace/plugins/any-name/releases", {"specifier": f"{place}/b.zip"}, format="json")
    assert (answer.status_code, _Handler.seen) == (403, [])


def test_redirects_errors_and_floods_are_refused(place: str) -> None:
    """A redirect is not followed, an error is no bundle, and more bytes than a bundle has are not read."""
    _Handler.answers = {"/r": (302, b""), "/big": (200, b"x" * (bundles.MAX_BUNDLE + 1))}
    for path, rule in (
        ("/r", "specifier_status"),
        ("/none", "specifier_status"),
        ("/big", "specifier_response_too_large"),
    ):
        with pytest.raises(SpecifierRefused) as caught:
            specifiers.fetch(place + path)
        assert caught.value.members["rule"] == rule


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x.zip",
        "https://localhost/x.zip",
        "https://127.0.0.1/x",
        "https://2130706433/x",
        "https://[::1]/x",
        "https://169.254.169.254/latest",
        "https://db.internal/x",
        "https://a:b@example.com/x",
        "file:///etc/passwd",
        "gopher://example.com/",
        "",
        "https://example.com/\r\nX: y",
    ],
)
def test_e_rows_private_places_are_never_asked(url: str) -> None:
    """E01–E04, E09: addresses, private names, credentials and other schemes are refused before anything is sent."""
    with pytest.raises(SpecifierRefused):
        specifiers.fetch(url)
