"""What an error's ``type`` leads to, and where the root leads."""

from __future__ import annotations

import pytest
from django.test import Client

from zelavis.views import problems

pytestmark = pytest.mark.django_db


def test_the_type_of_an_error_leads_to_what_it_means(client: Client) -> None:
    """Following the type of an answer ends at a page that tells the code's cause and cure."""
    kind = client.get("/api/plugins").json()["type"]
    answer = client.get(kind)
    assert answer.status_code == 200
    assert "There is no usable token" in answer.content.decode()


def test_every_code_has_its_page(client: Client) -> None:
    """The list of all errors links to a page for each."""
    listed = client.get("/problems/").content.decode()
    for code in problems.texts():
        assert f'href="/problems/{code}"' in listed
        assert client.get(f"/problems/{code}").status_code == 200


def test_an_unknown_code_is_not_found(client: Client) -> None:
    """A code that does not exist has no page."""
    assert client.get("/problems/nope").status_code == 404


def test_the_root_leads_to_the_catalogue(client: Client) -> None:
    """Who opens the bare address comes to the catalogue."""
    assert client.get("/").headers["Location"] == "/marketplace/"
