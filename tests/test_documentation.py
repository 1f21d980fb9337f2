"""What the product has, its documentation names."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from zelavis import environment
from zelavis.errors import ZelavisError

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def every_subclass(base: type) -> set[type]:
    return {base}.union(*(every_subclass(inner) for inner in base.__subclasses__()))


@pytest.fixture(scope="module", autouse=True)
def _import_everything() -> None:
    for app in ("sandbox", "marketplace", "zelavis", "runs"):
        package = importlib.import_module(app)
        for module in pkgutil.walk_packages(package.__path__, f"{app}."):
            if not re.search(r"\.(migrations|management|settings|urls|asgi|wsgi|child|__main__)(\.|$)", module.name):
                importlib.import_module(module.name)


def test_every_error_code_is_documented() -> None:
    """Each code that an answer can carry has a heading in docs/reference/errors.md."""
    from sandbox.errors import SandboxError

    classes = every_subclass(ZelavisError) | every_subclass(SandboxError)
    codes = {str(cls.code) for cls in classes if cls.__module__.split(".")[0] != "tests"}
    assert {code for code in codes if f"### `{code}`" not in page("errors.md")} == set()


def test_no_code_has_two_meanings() -> None:
    """A code belongs to one class; a subclass may narrow the message, not the code's meaning."""
    from sandbox.errors import SandboxError

    owners: dict[str, set[type]] = {}
    for cls in every_subclass(ZelavisError) | every_subclass(SandboxError):
        if "code" in vars(cls) and cls.__module__.split(".")[0] != "tests":
            owners.setdefault(str(cls.code), set()).add(cls)
    shared = {code: sorted(c.__name__ for c in classes) for code, classes in owners.items() if len(classes) > 1}
    assert shared == {}


def test_every_setting_is_documented() -> None:
    """Each ZELAVIS_* variable that the code reads stands in docs/reference/settings.md, and no other does."""
    read = set(re.findall(r'"(ZELAVIS_[A-Z_]+)"', Path(environment.__file__).read_text(encoding="utf-8")))
    told = set(re.findall(r"`(ZELAVIS_[A-Z_]+)`", page("settings.md")))
    assert read == told


def test_every_command_is_documented() -> None:
    """Each management command of ours has a heading in docs/reference/commands.md."""
    root = REFERENCE.parent.parent
    names = {
        path.stem
        for app in ("sandbox", "marketplace", "zelavis", "runs")
        for path in (root / app / "management" / "commands").glob("*.py")
        if path.stem != "__init__"
    }
    assert {name for name in names if f"## {name}" not in page("commands.md")} == set()


def test_every_hook_is_documented() -> None:
    """Each hook of the catalogue has a heading in docs/reference/hooks.md."""
    from zelavis.hooks import HOOKS

    assert {name for name in HOOKS if f"## `{name}`" not in page("hooks.md")} == set()


def test_every_capability_is_documented() -> None:
    """Each capability that a manifest can declare has a heading in docs/reference/capabilities.md."""
    from sandbox.capabilities import registry

    assert {
        name
        for name in (one.name for one in registry.all_capabilities())
        if f"## `{name}`" not in page("capabilities.md")
    } == set()


def test_every_scope_is_documented() -> None:
    """Each scope of an API token stands in docs/reference/tokens.md."""
    from zelavis.tokens import SCOPES

    assert {scope for scope in SCOPES if f"`{scope}`" not in page("tokens.md")} == set()


def test_links_between_pages_lead_somewhere() -> None:
    """Every relative link in README and docs/ points to a file that is there."""
    root = REFERENCE.parent.parent
    broken = []
    for path in [root / "README.md", root / "CHANGELOG.md", *sorted((root / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(root)} → {target}")
    assert broken == []
