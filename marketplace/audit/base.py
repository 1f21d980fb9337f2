"""What every rule family is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from marketplace.bundles import Bundle
from marketplace.manifest import Manifest

ERROR, WARNING, NOTICE = "error", "warning", "notice"
#: Findings of one rule beyond this number are counted, not listed.
MOST_OF_A_RULE = 20


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule as documented in docs/reference/audit-rules.md."""

    #: ``family.what``.
    id: str
    severity: str
    #: What it means, one sentence.
    text: str
    #: Something that it finds.
    example: str
    #: What to do.
    advice: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """One finding of one rule."""

    rule: Rule
    message: str
    #: File, and line where it has one.
    place: str = ""


@dataclass(kw_only=True)
class Subject:
    """What is audited, and the little of the marketplace that rules may know."""

    bundle: Bundle
    manifest: Manifest
    #: The publisher who submits, and whether a curator has verified who it is.
    publisher: str
    verified: bool = False
    #: A name → names of plugins of other publishers that may read alike.
    look_alikes: Callable[[str], list[str]] = field(default=lambda _: [])
    #: Names of the host's hooks; empty: not known here.
    hooks: frozenset[str] = frozenset()

    @property
    def entry(self) -> bytes:
        """The file that is run."""
        return self.bundle.files[self.manifest.entry]

    @cached_property
    def inspection(self) -> Any:
        """What the sandbox reads from the entry file without executing it.

        Raises:
            sandbox.errors.SandboxError: it is no module, or too large.
        """
        from sandbox.inspect import inspect

        return inspect(self.entry, kind=self.manifest.kind)  # type: ignore[arg-type]

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """The files that are UTF-8 text, by name."""
        found = {}
        for name, content in self.bundle.files.items():
            if name.endswith((".wasm", ".png", ".jpg", ".jpeg", ".webp", ".gif")):
                continue
            try:
                found[name] = content.decode("utf-8")
            except UnicodeDecodeError:
                continue
        return found

    def find(self, *names: str) -> str | None:
        """The first file at the top with one of these names, whatever its case and whether ``.md`` or ``.txt``."""
        wanted = {name.lower() for name in names}
        for name in self.bundle.files:
            if "/" not in name and name.lower().removesuffix(".md").removesuffix(".txt") in wanted:
                return name
        return None


@dataclass(frozen=True, kw_only=True)
class Family:
    """A required check: its rules and the function that applies them."""

    name: str
    text: str
    rules: tuple[Rule, ...]
    check: Callable[[Subject], Iterator[Found]]


def line_of(text: str, position: int) -> int:
    """Line number of a position, from 1."""
    return text.count("\n", 0, position) + 1
