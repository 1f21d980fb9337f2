"""``plugin new``: a plugin that works, with its cases, types for the editor and a README."""

from __future__ import annotations

import re
from pathlib import Path

from marketplace.authoring.errors import AuthorError

TEMPLATES = Path(__file__).resolve().parent / "templates"
LANGUAGES = {
    "js": "javascript",
    "javascript": "javascript",
    "assemblyscript": "assemblyscript",
    "c": "c",
    "rust": "rust",
}
_NAME = re.compile(r"[a-z][a-z0-9-]{1,62}[a-z0-9]")
_TEXT = (".json", ".md", ".mjs", ".ts", ".c", ".rs", ".sh", ".bundleignore")


def create(name: str, language: str, parent: Path, *, publisher: str = "my-name") -> list[Path]:
    """Write the files of a new plugin under ``parent/name``; gives them.

    Raises:
        AuthorError: a name that is none, or a directory that is there already.
    """
    if not _NAME.fullmatch(name):
        raise AuthorError(f"{name!r} is no plugin name: 3 to 64 of a-z, 0-9 and -, beginning with a letter.")
    target = parent / name
    if target.exists():
        raise AuthorError(f"{target} exists already.")
    words = {
        "@NAME@": name,
        "@TITLE@": name.replace("-", " ").capitalize(),
        "@PUBLISHER@": publisher,
        "@ENTRY@": "plugin.mjs" if LANGUAGES[language] == "javascript" else "plugin.wasm",
    }
    written = []
    for folder in (TEMPLATES / "common", TEMPLATES / LANGUAGES[language]):
        for source in sorted(folder.rglob("*")):
            if not source.is_file() or "__pycache__" in source.parts:
                continue
            file = target / source.relative_to(folder)
            file.parent.mkdir(parents=True, exist_ok=True)
            content = source.read_bytes()
            if source.name.endswith(_TEXT):
                for mark, word in words.items():
                    content = content.replace(mark.encode(), word.encode())
            file.write_bytes(content)
            file.chmod(source.stat().st_mode & 0o777)
            written.append(file)
    return written
