"""Rules over sizes and what a call asks of its host."""

from __future__ import annotations

from collections.abc import Iterator

from marketplace.audit.base import ERROR, NOTICE, WARNING, Family, Found, Rule, Subject
from marketplace.audit.script_rules import MAX_SOURCE
from marketplace.manifest import NAME

ENTRY_SIZE = Rule(
    id="limits.entry-size",
    severity=ERROR,
    text="The entry is larger than a plugin's code may be: 1 MiB of JavaScript, 2 MiB of wasm.",
    example="a bundle of all of node_modules in one file",
    advice="Leave out what is not used.",
)
EMPTY = Rule(
    id="limits.empty",
    severity=ERROR,
    text="The entry is empty.",
    example="`plugin.mjs` of 0 bytes",
    advice="Pack the built file.",
)
DEADLINE = Rule(
    id="limits.deadline",
    severity=WARNING,
    text="The plugin asks for more than 5 s a call, or a before hook for more than 1 s: people wait for it.",
    example='`"deadlineMs": 30000`',
    advice="Do long work in a durable run.",
)
MEMORY = Rule(
    id="limits.memory",
    severity=WARNING,
    text="The plugin asks for more than 64 MiB a call.",
    example='`"memoryMb": 256`',
    advice="Work on pieces.",
)
CALLS = Rule(
    id="limits.calls",
    severity=WARNING,
    text="A capability asks for more than 200 calls each time the plugin runs.",
    example='`"callsPerInvocation": 1000`',
    advice="Ask for what the plugin needs; an operator can give more.",
)
MANY = Rule(
    id="limits.many-files",
    severity=NOTICE,
    text="The bundle has more than 50 files.",
    example="a bundle with its sources and tests",
    advice="Pack what runs and what is read.",
)
_MOST_WASM = 2 << 20
_DEADLINE_MS, _BEFORE_MS, _MEMORY_MB, _CALLS, _FILES = 5000, 1000, 64, 200, 50


def check(subject: Subject) -> Iterator[Found]:
    """Apply the rules."""
    data, name = subject.manifest.data, subject.manifest.entry
    if name in subject.bundle.files:
        size = len(subject.entry)
        most = MAX_SOURCE if subject.manifest.kind == "javascript" else _MOST_WASM
        if size > most:
            yield Found(rule=ENTRY_SIZE, message=f"The entry has {size:,} bytes; the most is {most:,}.", place=name)
        if not subject.entry.strip():
            yield Found(rule=EMPTY, message="The entry is empty.", place=name)
    limits = data.get("limits", {})
    if limits.get("deadlineMs", 0) > _DEADLINE_MS:
        yield Found(rule=DEADLINE, message=f"A call may take {limits['deadlineMs']:,} ms.", place=NAME)
    for hook in data.get("hooks", []):
        before = hook["name"].partition(":")[2].startswith("before")
        if hook.get("timeoutMs", 0) > (_BEFORE_MS if before else _DEADLINE_MS):
            yield Found(rule=DEADLINE, message=f"{hook['name']} may take {hook['timeoutMs']:,} ms.", place=NAME)
    if limits.get("memoryMb", 0) > _MEMORY_MB:
        yield Found(rule=MEMORY, message=f"A call may use {limits['memoryMb']} MiB.", place=NAME)
    for capability, asked in subject.manifest.capabilities.items():
        if asked.get("callsPerInvocation", 0) > _CALLS:
            yield Found(rule=CALLS, message=f"{capability}: {asked['callsPerInvocation']} calls.", place=NAME)
    if len(subject.bundle.files) > _FILES:
        yield Found(rule=MANY, message=f"The bundle has {len(subject.bundle.files)} files.")


FAMILY = Family(
    name="limits",
    text="Sizes, and what a call asks of its host.",
    rules=(ENTRY_SIZE, EMPTY, DEADLINE, MEMORY, CALLS, MANY),
    check=check,
)
