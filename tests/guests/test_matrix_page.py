"""The pages of the hostile matrix say what the tests prove, row by row."""

from __future__ import annotations

import re

from tests.sandbox.guests import ROOT

ROWS = {"A": 20, "B": 18, "C": 11, "D": 12, "E": 19, "I": 10}
EXPECTED = {f"{letter}{number:02}" for letter, count in ROWS.items() for number in range(1, count + 1)}
_TEST = re.compile(r'^(?: {4})?def (test_\w+)\(.*?\) -> None:\n\s+"""(.*?)"""', re.MULTILINE | re.DOTALL)


def _ids(text: str) -> set[str]:
    """``a01``, ``E01–E04``, ``e01_to_e03`` …: every id that a text names."""
    found = set()
    for letter, first, last in re.findall(
        r"\b([A-I])(\d\d)(?: ?(?:–|to) ?\1(\d\d))?\b", text.upper().replace("TO", "to")
    ):
        found |= {f"{letter}{number:02}" for number in range(int(first), int(last or first) + 1)}
    return found


def _pages() -> dict[str, str]:
    rows: dict[str, str] = {}
    for name in ("guests", "capabilities"):
        text = (ROOT / "docs" / "reference" / f"hostile-matrix-{name}.md").read_text(encoding="utf-8")
        for line in re.findall(r"^\| ([A-I]\d\d[^|]*) \|.*\| (.*) \|$", text, re.MULTILINE):
            for id_ in _ids(line[0]):
                rows[id_] = rows.get(id_, "") + line[1]
    return rows


def _tests() -> dict[str, str]:
    return {
        name: sentence
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        for name, sentence in _TEST.findall(file.read_text(encoding="utf-8"))
    }


def test_every_row_has_its_line() -> None:
    """Each row of A to E and I is on a page and says that it passes or why it does not apply."""
    rows = _pages()
    assert EXPECTED - rows.keys() == set()
    assert [id_ for id_, text in rows.items() if not text.startswith(("pass", "does not apply"))] == []


def test_every_row_that_passes_has_its_test() -> None:
    """A row that passes is named by a test, or names one that there is."""
    tests = _tests()
    proven = set().union(*(_ids(name.replace("_", " ")) | _ids(sentence) for name, sentence in tests.items()))
    unproven = []
    for id_, text in _pages().items():
        named = re.findall(r"`(test_\w+)`", text)
        assert set(named) <= tests.keys(), named
        if text.startswith("pass") and not named and id_ not in proven:
            unproven.append(id_)
    assert unproven == []
