"""What a manifest may declare: schemas, meanings, and the words a person consents to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from marketplace import manifest
from sandbox.capabilities import registry


def problems(capabilities: dict[str, Any]) -> list[str]:
    """Messages of the manifest check, for these capabilities."""
    data = {
        "manifestVersion": 1, "name": "some-name", "version": "1.0.0", "title": "T", "description": "D.",
        "license": "Apache-2.0", "publisher": "some-one", "entry": "plugin.mjs", "hooks": [],
        "capabilities": capabilities, "compatibility": {"zelavis": ">=0.1,<1"},
    }  # fmt: skip
    return [one.message for one in manifest.problems(json.loads(json.dumps(data))) if "/capabilities" in one.pointer]


@pytest.mark.parametrize("host", ["db", "localhost", "10.0.0.1", "*.co.uk", "*.github.io", "metadata.google.internal"])
def test_e10_e16_hosts_are_looked_at_before_consent(host: str) -> None:
    """E10, E16: inner names, addresses and wildcards over shared names are refused in the manifest."""
    assert problems({"http": {"reason": "r", "hosts": [host]}})
    assert problems({"secrets": {"reason": "r", "names": {"key": {"host": host}}}})


def test_good_entries_have_no_problem() -> None:
    """An entry for every declared capability that follows its schema is taken."""
    assert (
        problems(
            {
                "kv": {"reason": "r", "bytes": 1024, "callsPerInvocation": 3, "callsPerHour": 100},
                "documents": {"reason": "r", "collections": {"orders": {"indexes": ["status", "who.name"]}}},
                "blobs": {"reason": "r", "bytes": 1024},
                "object": {"reason": "r"},
                "http": {"reason": "r", "hosts": ["api.example.com", "*.example.org", "api.example.com:8443"]},
                "secrets": {"reason": "r", "names": {"key": {"host": "api.example.com", "path": "/v1"}}},
                "content:read": {"reason": "r", "collections": ["flatpages.flatpage"]},
                "content:write": {"reason": "r"},
                "users:read": {"reason": "r", "email": True},
                "email:send": {"reason": "r", "perDomainPerHour": 5},
                "schedule": {"reason": "r", "wakes": 3},
            }
        )
        == []
    )


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("kv", {}), ("kv", {"reason": ""}), ("kv", {"reason": "r", "bytes": 0}), ("kv", {"reason": "r", "byte": 1}),
        ("kv", {"reason": "r", "callsPerInvocation": 1.5}), ("http", {"reason": "r"}), ("nope", {"reason": "r"}),
        ("http", {"reason": "r", "hosts": []}), ("documents", {"reason": "r", "collections": {"a b": {}}}),
        ("documents", {"reason": "r", "collections": {"a": {"indexes": ["x y"]}}}), ("log", {"reason": "r"}),
        ("secrets", {"reason": "r", "names": {"key": {"host": "*.example.com"}}}),
        ("email:send", {"reason": "r", "perDomainPerHour": -1}), ("users:read", {"reason": "r", "email": "yes"}),
    ],
)  # fmt: skip
def test_wrong_entries_are_refused(name: str, entry: dict[str, Any]) -> None:
    """Missing reasons, unknown members, wrong types and impossible quantities are problems of the manifest."""
    assert problems({name: entry})


def test_consent_names_every_quantity() -> None:
    """The words a person consents to hold the risk, the hosts and every number of the grant."""
    text = registry.get("http").explain(  # type: ignore[union-attr]
        {"reason": "r", "hosts": ["api.example.com"], "callsPerInvocation": 3, "callsPerHour": 7777}
    )
    for part in ("Sends data", "api.example.com", "3 calls", "7,777 an hour"):
        assert part in text
    for capability in registry.all_capabilities():
        assert capability.explain({"reason": "r"}).startswith(capability.risk)
