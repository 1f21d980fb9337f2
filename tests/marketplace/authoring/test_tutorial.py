"""The tutorial, followed to the letter: its own commands, in an empty directory, on an empty data directory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
#: What an author is promised, in seconds.
PROMISED = 300


def commands(section: str) -> list[str]:
    """The shell blocks of one section of the tutorial, without the one that needs a server."""
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    text = page.split(f"## {section}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [block for block in blocks if "--server" not in block]


def follow(section: str, place: Path) -> tuple[str, float]:
    """Everything that was printed, and the seconds it took."""
    (place / "manage.py").symlink_to(ROOT / "manage.py")
    (place / "event.json").write_text('{"collection": "flatpages.flatpage", "id": "1", "created": true}')
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ZELAVIS_", "DJANGO_"))},
        "ZELAVIS_DATA_DIR": str(place / "data"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    began = time.monotonic()
    printed = ""
    for block in commands(section):
        ended = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", block],
            cwd=place, env=environment, capture_output=True, text=True, timeout=PROMISED,
        )  # fmt: skip
        assert ended.returncode == 0, block + ended.stdout + ended.stderr
        printed += ended.stdout
    return printed, time.monotonic() - began


def test_the_tutorial_in_javascript(tmp_path: Path) -> None:
    """From ``new`` to ``pack`` by the page's commands: all succeed, print what the page says, and keep its promise."""
    printed, seconds = follow("In JavaScript", tmp_path)
    assert "passed: 0 errors, 0 findings" in printed
    assert '"saves": 1' in printed
    assert "2 passed, 0 failed" in printed
    assert re.search(r"page-counter-0\.1\.0\.zip: [\d,]+ bytes, sha256 [0-9a-f]{64}", printed)
    assert (tmp_path / "page-counter-0.1.0.zip").is_file()
    assert json.loads((tmp_path / "page-counter" / "zelavis.plugin.json").read_text())["name"] == "page-counter"
    assert seconds < PROMISED


@pytest.mark.node
def test_the_tutorial_in_assemblyscript(tmp_path: Path) -> None:
    """The same with npm and the AssemblyScript compiler."""
    printed, seconds = follow("In AssemblyScript", tmp_path)
    assert "passed: 0 errors" in printed
    assert "2 passed, 0 failed" in printed
    assert (tmp_path / "page-as-0.1.0.zip").is_file()
    assert seconds < PROMISED
