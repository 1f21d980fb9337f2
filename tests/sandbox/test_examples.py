"""The example plugins do what their pages say, on the real sandbox with the real database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox import compiler, host
from sandbox.artifact import Artifact
from sandbox.call import Call
from sandbox.limits import Limits
from sandbox.models import Invocation
from sandbox.outcome import Outcome, OutcomeStatus

pytestmark = pytest.mark.django_db(transaction=True)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "plugins"


def deploy(name: str) -> tuple[Artifact, dict[str, Any]]:
    """The example as an artifact, and its manifest."""
    manifest = json.loads((EXAMPLES / name / "zelavis.plugin.json").read_text(encoding="utf-8"))
    source = (EXAMPLES / name / manifest["entry"]).read_bytes()
    kind = "wasm" if manifest["entry"].endswith(".wasm") else "javascript"
    return compiler.deploy(source, kind=kind, grants=manifest["capabilities"]), manifest


def execute(name: str, hook: str, event: Any, number: int) -> Outcome:
    """One call of an example."""
    artifact, manifest = deploy(name)
    call = Call(id=f"inv_{number}", plugin=name, version=manifest["version"], hook=hook, event=event)
    return host.execute(artifact, call, grants=manifest["capabilities"], limits=Limits().lowered(manifest["limits"]))


def page(number: int, body: str) -> dict[str, Any]:
    """An event of ``content:afterSave``."""
    content = {"url": f"/p{number}/", "title": "Hello", "body": body}
    return {"collection": "pages", "id": f"p{number}", "content": content, "created": True}


def test_word_count_counts_and_keeps() -> None:
    """Two saves are counted in the plugin's store and shown by its route; each call has its row."""
    first = execute("word-count", "content:afterSave", page(1, "<p>καλημέρα κόσμε, it's 3 words</p>"), 1)
    assert first.ok, first
    assert first.result == {"id": "p1", "words": 6, "minutes": 1, "saves": 1}
    assert [line.message for line in first.logs] == ["new page with 6 words"]
    second = execute("word-count", "content:afterSave", page(2, "one"), 2)
    assert second.result["saves"] == 2
    request = {"method": "GET", "path": "/stats", "query": {}, "headers": {}, "body": None, "route": "/stats"}
    stats = execute("word-count", "route", request, 3)
    assert stats.result["status"] == 200
    assert stats.result["json"]["saves"] == 2
    assert {one["id"]: one["words"] for one in stats.result["json"]["pages"]} == {"p1": 6, "p2": 2}
    assert Invocation.objects.filter(plugin="word-count", status="ok").count() == 3


@pytest.mark.parametrize("language", ["c", "assemblyscript", "rust"])
def test_word_count_in_other_languages(language: str) -> None:
    """The same plugin in C, AssemblyScript and Rust counts the same words and keeps the same count."""
    name = f"word-count-{language}"
    for number in (1, 2):
        outcome = execute(name, "content:afterSave", page(number, '<p>καλημέρα "κόσμε", three words</p>'), number)
        assert outcome.ok, outcome
        assert outcome.result == {"id": f"p{number}", "words": 5, "saves": number}
    assert execute(name, "plugin:activate", {}, 3).ok
    missing = execute(name, "content:other", {}, 4)
    assert missing.error is not None
    assert missing.error.code == "no_handler"
    kept = (EXAMPLES / name / "plugin.wasm.sha256").read_text(encoding="ascii").split()[0]
    assert deploy(name)[0].digest == kept


def test_hostile_loop_is_stopped() -> None:
    """A handler that never returns ends as ``deadline`` after its own limit; the next call is healthy."""
    outcome = execute("hostile-loop", "content:afterSave", page(1, ""), 1)
    assert outcome.status is OutcomeStatus.DEADLINE
    assert 45 <= outcome.duration_ms < 1000
    assert execute("word-count", "content:afterSave", page(1, "a"), 2).ok
    assert Invocation.objects.get(id="inv_1").status == "deadline"
