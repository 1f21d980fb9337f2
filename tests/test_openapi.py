"""The API's description."""

from __future__ import annotations

from pathlib import Path

from django.test import Client

from zelavis.api import description


def test_the_committed_description_is_current(root: Path) -> None:
    """The OpenAPI document and the routes page in docs/ are what the code gives now: manage.py document writes them."""
    for name, text in description.files().items():
        assert (root / "docs" / "reference" / name).read_text(encoding="utf-8") == text, name


def test_every_operation_says_what_it_does_and_needs() -> None:
    """Each operation has a summary or description and names its scope."""
    silent = [
        f"{method} {path}"
        for path, operations in description.document()["paths"].items()
        for method, operation in operations.items()
        if not operation.get("x-scope") or not (operation.get("summary") or operation.get("description"))
    ]
    assert silent == []


def test_the_server_answers_its_description(db: None) -> None:
    """GET /api/schema answers without a token."""
    answer = Client().get("/api/schema?format=json")
    assert answer.status_code == 200
    assert b"/api/" in answer.content
