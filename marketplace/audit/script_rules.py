"""Rules over JavaScript entries. The source is read, never run; what it may do is bound by grants in any case."""

from __future__ import annotations

import re
from collections.abc import Iterator

from marketplace.audit import javascript
from marketplace.audit.base import ERROR, NOTICE, WARNING, Family, Found, Rule, Subject, line_of

NOT_TEXT = Rule(
    id="script.not-text",
    severity=ERROR,
    text="The entry is not UTF-8 text, or not complete: a string, template or comment is never closed.",
    example="`plugin.mjs` in UTF-16, or cut off",
    advice="Save it as UTF-8 and pack it again.",
)
NO_EXPORT = Rule(
    id="script.no-export",
    severity=ERROR,
    text="The entry has no default export, so there is nothing to call.",
    example="`module.exports = {…}`",
    advice="Write `export default { hooks: {…} }`.",
)
IMPORT = Rule(
    id="script.import",
    severity=ERROR,
    text="The entry imports another module; a plugin is one file.",
    example="`import fs from 'node:fs'`, `await import(url)`",
    advice="Bundle everything into the entry before packing.",
)
EVAL = Rule(
    id="script.eval",
    severity=WARNING,
    text="The entry makes code from text, which hides what it does from review.",
    example="`eval(text)`, `new Function(text)`",
    advice="Write the code itself.",
)
DENSE = Rule(
    id="script.dense",
    severity=WARNING,
    text="The entry is minified or obfuscated: very long lines, or many escapes and machine-made names.",
    example="a line of 20,000 characters, `_0x3fa2`",
    advice="Pack readable code; size is not what limits a plugin.",
)
BLOB = Rule(
    id="script.blob",
    severity=WARNING,
    text="The entry holds a long string of encoded data, which nobody can review.",
    example="8 kB of base64",
    advice="Compute it, or explain it in the README.",
)
UNDECLARED = Rule(
    id="script.undeclared",
    severity=WARNING,
    text="The entry mentions a capability that the manifest does not declare; the call would be refused.",
    example="`ctx.http.fetch` without `http`",
    advice="Declare it with quantities and a reason, or remove the call.",
)
UNUSED = Rule(
    id="script.unused",
    severity=WARNING,
    text="The manifest declares a capability that the entry never mentions.",
    example='`"email:send"` in the manifest, no `ctx.email` in the code',
    advice="Remove it from the manifest.",
)
HANDLER = Rule(
    id="script.no-handler",
    severity=NOTICE,
    text="The entry does not mention a hook that the manifest declares.",
    example='`"content:afterSave"` in the manifest alone',
    advice="Write the handler or remove the declaration.",
)
#: Capability → what it is called on ``ctx``.
NAMESPACES = {
    "kv": "kv",
    "documents": "documents",
    "blobs": "blobs",
    "object": "object",
    "http": "http",
    "content:read": "content",
    "content:write": "content",
    "users:read": "users",
    "email:send": "email",
    "secrets": "secrets",
    "schedule": "schedule",
    "runs:trigger": "runs",
    "runs:signal": "runs",
}
_FREE = {"log", "crypto", "settings", "plugin", "call"}
_IMPORT = re.compile(
    r"(?:^|[;}\n])\s{0,20}import\b(?!\s{0,5}\.\s{0,5}meta)|\bimport\s{0,5}\(|\brequire\s{0,5}\("
    r"|\bexport\s{0,5}(?:\*[^;\n{]{0,80}|\{[^{};]{0,500}\}\s{0,5})from\b"
)
_EXPORT = re.compile(r"\bexport\s{1,20}default\b|\bexport\s{0,20}\{[^{};]{0,500}\bas\s{1,5}default\b")
_EVAL = re.compile(
    r"(?<![.\w$])eval\s{0,5}\(|\bnew\s{1,5}Function\b|(?<![.\w$])Function\s{0,5}\(|\.constructor\s{0,5}\("
    r"|\bAsyncFunction\b"
)
_MACHINE_NAME = re.compile(r"\b_0x[0-9a-f]{3,8}\b")
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})")
_ENCODED = re.compile(r"[A-Za-z0-9+/=_-]{2000,}")
_CTX = re.compile(r"\b(?:ctx|context|api|zelavis)\s{0,3}(?:\?\.|\.)\s{0,3}([a-z]{2,20})\b")
#: Characters of an entry; `limits` refuses more.
MAX_SOURCE = 1 << 20
_LONGEST_LINE = 5000
_MOST_ESCAPES = 200


def check(subject: Subject) -> Iterator[Found]:
    """Apply the rules to a JavaScript entry; a wasm entry has none of this."""
    if subject.manifest.kind != "javascript" or subject.manifest.entry not in subject.bundle.files:
        return
    name = subject.manifest.entry
    text = subject.texts.get(name)
    if text is None:
        yield Found(rule=NOT_TEXT, message="The entry is not UTF-8 text.", place=name)
        return
    if len(text) > MAX_SOURCE:
        # The family `limits` refuses it; reading on would only take time.
        return
    source = javascript.read(text)
    if not source.complete:
        yield Found(rule=NOT_TEXT, message="A string, template or comment is never closed.", place=name)
    if not _EXPORT.search(source.code):
        yield Found(rule=NO_EXPORT, message="There is no default export.", place=name)
    for rule, pattern, what in ((IMPORT, _IMPORT, "Another module"), (EVAL, _EVAL, "Code from text")):
        for match in list(pattern.finditer(source.code))[:10]:
            position = match.end() - 1
            yield Found(rule=rule, message=f"{what} here.", place=f"{name}:{line_of(text, position)}")
    yield from _density(name, text, source)
    yield from _capabilities(subject, source, text)


def _density(name: str, text: str, source: javascript.Source) -> Iterator[Found]:
    longest = max((len(line) for line in text.splitlines()), default=0)
    if longest > _LONGEST_LINE:
        yield Found(rule=DENSE, message=f"A line has {longest:,} characters.", place=name)
    machine = len(set(_MACHINE_NAME.findall(source.code)))
    escapes = sum(len(_ESCAPE.findall(content)) for _, content in source.strings)
    if machine > 5 or escapes > _MOST_ESCAPES:
        yield Found(rule=DENSE, message=f"{machine} machine-made names, {escapes} escapes.", place=name)
    for position, content in source.strings:
        if _ENCODED.search(content):
            place = f"{name}:{line_of(text, position)}"
            yield Found(rule=BLOB, message=f"A string of {len(content):,} characters.", place=place)


def _capabilities(subject: Subject, source: javascript.Source, text: str) -> Iterator[Found]:
    name = subject.manifest.entry
    declared = {NAMESPACES.get(capability, capability) for capability in subject.manifest.capabilities}
    mentioned: dict[str, int] = {}
    for match in _CTX.finditer(source.code):
        mentioned.setdefault(match[1], match.start())
    for namespace, position in sorted(mentioned.items()):
        if namespace in set(NAMESPACES.values()) - declared - _FREE:
            place = f"{name}:{line_of(text, position)}"
            yield Found(rule=UNDECLARED, message=f"ctx.{namespace} is not declared.", place=place)
    words = set(re.findall(r"[a-z]{2,20}", source.code))
    for capability in subject.manifest.capabilities:
        # `secrets` is used by http.fetch through names in its options.
        if NAMESPACES.get(capability, capability) not in words:
            yield Found(rule=UNUSED, message=f"{capability} is declared and never mentioned.", place=name)
    texts = "\n".join(content for _, content in source.strings)
    for hook in subject.manifest.data.get("hooks", []):
        if hook["name"] not in texts and not re.search(rf"\b{re.escape(hook['name'])}\b", source.code):
            yield Found(rule=HANDLER, message=f"No handler of {hook['name']} is to be seen.", place=name)


FAMILY = Family(
    name="script",
    text="JavaScript entries, read and never run.",
    rules=(NOT_TEXT, NO_EXPORT, IMPORT, EVAL, DENSE, BLOB, UNDECLARED, UNUSED, HANDLER),
    check=check,
)
