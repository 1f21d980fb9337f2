"""Orders, entries and workers for the adapters' tests, and the faulty worker as a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.server import ROOT, free_port
from zelavis import encryption
from zelavis.active import ActiveEntry, surface
from zelavis.adapters.base import Call, Order
from zelavis.models import DispatchNamespace, DispatchWorker

KEY = "the tests' worker key"


@dataclass
class Notes:
    """What an adapter wrote to the timeline."""

    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, step: str, message: str = "", **more: Any) -> None:
        self.lines.append((step, message, more))

    @property
    def text(self) -> str:
        return repr(self.lines)


def make_order(**changes: Any) -> Order:
    """An installation of ``search`` from a specifier."""
    values: dict[str, Any] = {
        "activation": "act_01test",
        "root": "act_01test",
        "created_ms": 1_700_000_000_000,
        "action": "install",
        "name": "search",
        "version": "1.0.0",
        "previous_version": "",
        "specifier": "https://example.com/search.mjs",
        "registry": [{"name": "search", "status": "installed", "source": "community"}],
        "digest": "d" * 64,
        "entry_digest": "e" * 64,
        "kind": "javascript",
        "manifest": {},
        "grants": {},
        "settings": {},
        "worker": None,
        "first": True,
        "note": Notes(),
        **changes,
    }
    return Order(**values)


def make_entry(**changes: Any) -> ActiveEntry:
    """A serving ``search``."""
    values: dict[str, Any] = {
        "name": "search",
        "version": "1.0.0",
        "adapter": "dispatch",
        "deployment": "dep_1",
        "digest": "e" * 64,
        "kind": "javascript",
        "worker": None,
        "order": 1,
        "surface": surface("{}"),
        "grants": {},
        "settings": {"greeting": "Hello"},
        **changes,
    }
    return ActiveEntry(**values)


def make_call(**changes: Any) -> Call:
    """A saved page."""
    values: dict[str, Any] = {
        "id": "inv_01test",
        "hook": "content:afterSave",
        "event": {"collection": "flatpages.flatpage", "id": "1", "content": {"title": "About"}},
        "deadline_ms": 1000,
        "now_ms": 1_700_000_000_000,
        "correlation": "cor_1",
        **changes,
    }
    return Call(**values)


@pytest.fixture
def make_worker(db: None) -> Callable[..., DispatchWorker]:
    """Make a worker row in the namespace ``tests``."""

    def make(base_url: str, *, key: str = KEY, **changes: Any) -> DispatchWorker:
        namespace, _ = DispatchNamespace.objects.get_or_create(name="tests")
        return DispatchWorker.objects.create(
            namespace=namespace,
            **{"name": "search", "base_url": base_url, "secret": encryption.seal(key), **changes},
        )

    return make


@pytest.fixture(scope="session")
def faulty() -> Iterator[str]:
    """The base URL of a worker process that fails on purpose; add ``/FAULT``."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.zelavis.adapters.faulty", str(port), KEY],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.communicate()
