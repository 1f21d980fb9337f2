"""The standard job's input and its host: what every peer is given."""

from __future__ import annotations

import json
from typing import Any

BODY = "<p>" + "lorem ipsum dolor sit amet " * 10 + "</p>"
EVENT: dict[str, Any] = {
    "collection": "flatpages.flatpage",
    "id": "1",
    "isNew": False,
    "content": {"url": "/about/", "title": "Grüße", "body": BODY},
}
WORDS = 50
VALUES: dict[str, Any] = {}


def kv(request: bytes | str) -> bytes:
    """The cheapest honest host: parse the request, one dictionary, answer JSON."""
    asked = json.loads(request)
    if asked["op"] == "get":
        return json.dumps({"value": VALUES.get(asked["args"][0])}).encode()
    VALUES[asked["args"][0]] = asked["args"][1]
    return b'{"value":null}'


def envelope() -> bytes:
    """The input of a Zelavis guest."""
    return json.dumps(
        {
            "abi": 1,
            "id": "inv_benchmark",
            "hook": "content:afterSave",
            "event": EVENT,
            "now": 1_795_000_000_000,
            "seed": "12345",
            "plugin": {"name": "benchmark", "version": "1.0.0"},
            "settings": {},
        }
    ).encode()


def check(answer: bytes | str | dict[str, Any]) -> None:
    """A wrong answer is not a fast answer."""
    found = answer if isinstance(answer, dict) else json.loads(answer)
    found = found.get("ok", found) if isinstance(found, dict) else found
    assert (found["id"], found["words"]) == ("1", WORDS), found
    assert found["saves"] >= 1, found
