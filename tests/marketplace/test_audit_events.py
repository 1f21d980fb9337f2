"""Capabilities that a module needs to see an event."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from marketplace import actors, bundles, intake
from marketplace.audit.module_rules import UNUSED
from marketplace.models import Publisher

pytestmark = pytest.mark.django_db


def unused(root: Path, tmp_path: Path, hooks: list[dict[str, object]]) -> list[str]:
    source = root / "examples" / "plugins" / "word-count-c"
    for path in source.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((tmp_path / "zelavis.plugin.json").read_text())
    manifest["hooks"] = hooks
    manifest["capabilities"]["content:read"] = {"reason": "Sees the text of a saved page."}
    (tmp_path / "zelavis.plugin.json").write_text(json.dumps(manifest))
    Publisher.objects.create(slug="zelavis-examples", name="Examples", verified=True, state=Publisher.State.ACTIVE)
    release = intake.submit(bundles.pack(tmp_path), actor=actors.system("system"), publisher="zelavis-examples")
    return [finding.message for finding in release.findings.all() if finding.rule == UNUSED.id]


def test_a_capability_that_opens_an_event_is_used(root: Path, tmp_path: Path) -> None:
    """A module that listens to content hooks needs content:read for the event, and is not told to remove it."""
    assert unused(root, tmp_path, [{"name": "content:afterSave"}]) == []


def test_without_such_a_hook_it_is_not(root: Path, tmp_path: Path) -> None:
    """A module that listens to nothing of the kind and does not import it is told."""
    assert unused(root, tmp_path, [{"name": "user:created"}]) == ["The module does not import content:read."]
