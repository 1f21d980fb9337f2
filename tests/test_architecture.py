"""The house keeps its shape: who may import whom, how long a file may be, and words that must not appear."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ("sandbox", "marketplace", "zelavis", "runs")
#: Small nouns that stand below every app but the sandbox; they import nothing above them.
SHARED = {
    *(f"zelavis.{name}" for name in ("errors", "identifiers", "audit", "signing", "logs", "doorbell", "wakeups")),
    *(f"zelavis.api.{name}" for name in ("problems", "permissions", "parsers", "pagination", "authentication")),
    *(
        "zelavis.api.idempotency",
        "zelavis.api.conditional",
        "zelavis.api.camel",
        "zelavis.api",
        "zelavis",
        "zelavis.admin",
        "zelavis.admin.site",
        "zelavis.admin.readonly",
        "zelavis.templatetags.zelavis_ui",
    ),
}
#: What the shared nouns themselves may use of ours.
BELOW_SHARED = SHARED | {
    "zelavis.models",
    "zelavis.tokens",
    "zelavis.celery",
    "zelavis.api.schema",
    # Imports the errors alone.
    "zelavis.encryption",
}
ALLOWED = {
    "sandbox": {"sandbox"},
    "marketplace": {"marketplace", "sandbox"},
    "zelavis": {"zelavis", "marketplace", "sandbox"},
    "runs": {"runs", "zelavis", "sandbox"},
}
WIRING = {"zelavis.settings", "zelavis.urls", "zelavis.asgi", "zelavis.wsgi"}


def sources() -> Iterator[tuple[str, Path]]:
    """Every module of the product with its dotted name."""
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            if "migrations" not in path.parts:
                parts = path.relative_to(ROOT).with_suffix("").parts
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The file's lines, numbered from 1."""
    return enumerate(path.read_text(encoding="utf-8").splitlines(), 1)


def imports(path: Path, module: str) -> Iterator[str]:
    """The modules of ours that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in APPS)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative import"
            if node.module and node.module.split(".")[0] in APPS:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found = (ROOT / inner.replace(".", "/")).with_suffix(".py").exists() or (
                        ROOT / inner.replace(".", "/")
                    ).is_dir()
                    yield inner if found else node.module


def test_apps_import_only_downwards() -> None:
    """No app imports an app above it; only the shared nouns of the core may be used from below."""
    wrong = [
        f"{module} imports {used}"
        for module, path in sources()
        for used in imports(path, module)
        if used.split(".")[0] not in ALLOWED[module.split(".")[0]]
        and not (used in SHARED and module.split(".")[0] == "marketplace")
    ]
    assert wrong == []


def test_shared_nouns_import_nothing_above_them() -> None:
    """The shared nouns stay at the bottom, so that using them from every app makes no circle."""
    wrong = [
        f"{module} imports {used}"
        for module, path in sources()
        if module in SHARED and module not in ("zelavis", "zelavis.api", "zelavis.admin")
        for used in imports(path, module)
        if used not in BELOW_SHARED
    ]
    assert wrong == []


def test_nobody_imports_the_wiring() -> None:
    """Settings, URLs and server entry points are read by Django alone."""
    wrong = [
        f"{module} imports {used}" for module, path in sources() for used in imports(path, module) if used in WIRING
    ]
    assert wrong == []


def test_rules_do_not_live_at_the_edges() -> None:
    """Verbs never import an API view, an admin class, a task or a command: the edges import the verbs."""
    edge = re.compile(
        r"^\w+\.(api\.(?!problems|permissions|parsers|pagination|authentication|idempotency|conditional|camel)|"
        r"admin\.(?!site)|tasks$|management\.)"
    )
    itself = re.compile(r"\.(api|admin|tasks|management|views|urls|apps|startup|embedded)(\.|$)")
    wrong = [
        f"{module} imports {used}"
        for module, path in sources()
        for used in imports(path, module)
        if edge.match(used) and not itself.search(module)
    ]
    assert wrong == []


@pytest.mark.parametrize("app", APPS)
def test_files_stay_small(app: str) -> None:
    """A file of more than 400 lines holds two things and is split by what it holds."""
    long = {
        str(path.relative_to(ROOT)): count
        for module, path in sources()
        if module.split(".")[0] == app and (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_a_delay_is_a_row() -> None:
    """Nothing is delayed by a broker: no eta, countdown, delay or apply_async anywhere in the product."""
    pattern = re.compile(r"\.delay\(|\.apply_async\(|\beta=|countdown=")
    wrong = [f"{module}:{n}" for module, path in sources() for n, line in lines(path) if pattern.search(line)]
    assert wrong == []


def test_nothing_is_left_for_later() -> None:
    """The product has no unfinished marks."""
    pattern = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    wrong = [f"{module}:{n}" for module, path in sources() for n, line in lines(path) if pattern.search(line)]
    assert wrong == []


def test_templates_have_no_inline_script_or_style() -> None:
    """The content policy allows neither, so no template carries one."""
    pattern = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE)
    wrong = [
        f"{path.relative_to(ROOT)}:{n}"
        for app in APPS
        for path in sorted((ROOT / app).rglob("*.html"))
        for n, line in lines(path)
        if pattern.search(line)
    ]
    assert wrong == []


def test_no_machine_paths_are_tracked() -> None:
    """Nothing that is kept names a place on somebody's machine."""
    listed = subprocess.run(
        [
            "git",
            "grep",
            "-nE",
            r"(^|[^A-Za-z0-9_.])/(work|root|home)/[A-Za-z.]",
            "--",
            ".",
            ":!*.lock",
            ":!tests/test_architecture.py",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert listed.stdout == ""


def test_every_test_says_what_it_proves() -> None:
    """Each test function has a docstring: one sentence of truth."""
    silent = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if function and node.name.startswith("test_") and not ast.get_docstring(node):
                silent.append(f"{path.relative_to(ROOT)}::{node.name}")
    assert silent == []
