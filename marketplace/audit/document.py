"""The rules as a page for people: docs/reference/audit-rules.md, kept equal by a test."""

from __future__ import annotations

from marketplace.audit.run import FAMILIES

_HEAD = """# Audit rules

The audit runs at intake, before a decision, and again when rules change. It executes nothing: JavaScript is
read as text, WebAssembly is inspected. Every family below is a required check and leaves a row for the digest: `pass`,
`fail`, or `inconclusive` when it could not run to its end. A release can be approved only with a pass of each for
exactly its bytes.

| Severity | Meaning |
|---|---|
| `error` | Refuses the release; nothing is stored. |
| `warning` | A curator must look. |
| `notice` | Good to know. |

`manage.py plugin check` runs the same rules. `GET /api/marketplace/rules` answers this page as JSON.
"""


def page() -> str:
    """The page."""
    parts = [_HEAD]
    for family in FAMILIES:
        parts.append(f"\n## {family.name}\n\n{family.text}\n")
        parts += [
            f"\n### `{rule.id}`\n\n{rule.severity}. {rule.text}\nFor example: {rule.example}.\n{rule.advice}\n"
            for rule in family.rules
        ]
    return "".join(parts)
