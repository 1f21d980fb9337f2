"""The marketplace's reference pages say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from marketplace import manifest, states
from marketplace.audit.document import page
from marketplace.models import ReleaseState


def test_the_page_of_rules_is_the_rules(root: Path) -> None:
    """docs/reference/audit-rules.md is what `marketplace.audit.document` writes."""
    assert (root / "docs/reference/audit-rules.md").read_text(encoding="utf-8") == page()


def test_every_member_of_the_manifest_is_on_its_page(root: Path) -> None:
    """Each top-level member of the schema has its line."""
    text = (root / "docs/reference/manifest.md").read_text(encoding="utf-8")
    members = set(manifest.schema()["properties"]) - {"$schema"}
    assert {name for name in members if f"`{name}`" not in text} == set()


def test_every_state_and_verb_is_on_the_page_of_curation(root: Path) -> None:
    """States and verbs stand in their tables, with the permission and states of the code."""
    text = (root / "docs/reference/curation.md").read_text(encoding="utf-8")
    assert {state for state in ReleaseState.values if f"| `{state}` |" not in text} == set()
    lines = {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)` \|.*\|$", text, re.MULTILINE)}
    for verb in states.VERBS.values():
        wanted = verb.permission.removeprefix("marketplace.") or "its publisher"
        assert wanted in lines[verb.name], verb.name


def test_rows_of_the_hostile_matrix_name_tests_that_exist(root: Path) -> None:
    """Each test file and test that the table of hostile rows names is there."""
    text = (root / "docs/reference/curation.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[a-z/]+/)?(test_\w+\.py)(?:::(test_\w+))?", text)
    assert named
    for folder, file, function in named:
        source = (root / (folder or "tests/marketplace") / file).read_text(encoding="utf-8")
        assert not function or f"def {function}" in source, (file, function)
