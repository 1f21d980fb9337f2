"""Keeping what an audit found."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from typing import Any

from marketplace.audit.base import Subject
from marketplace.audit.run import Report, required
from marketplace.models import CheckOutcome, CheckResult, Finding, Release
from sandbox.errors import SandboxError


def inspection_text(subject: Subject) -> str:
    """JSON of what the sandbox read from a wasm entry; ``{}`` for JavaScript, which is only read as text."""
    if subject.manifest.kind != "wasm":
        return "{}"
    try:
        found = subject.inspection
    except SandboxError:
        return "{}"
    value = asdict(found) if is_dataclass(found) and not isinstance(found, type) else {}
    return json.dumps(value, default=_plain, ensure_ascii=True)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def record(release: Release, report: Report) -> None:
    """Add the check rows, replace the findings and bring the release's audit fields up to date, in one transaction.

    An approved release keeps the digest for which it was audited when it was approved: what the new audit says stands
    beside it in ``audit_state`` and asks for a curator.
    """
    if report.digest != release.digest:
        raise ValueError("the report is about other bytes")
    CheckResult.objects.bulk_create(
        CheckResult(
            release=release,
            digest=report.digest,
            family=check.family,
            outcome=check.outcome,
            rules=report.rules,
            detail=check.detail,
            duration_ms=check.duration_ms,
        )
        for check in report.checks
    )
    Finding.objects.filter(release=release).delete()
    Finding.objects.bulk_create(
        Finding(
            release=release,
            digest=report.digest,
            rule=found.rule.id,
            severity=found.rule.severity,
            place=found.place[:300],
            message=found.message[:500],
            advice=found.rule.advice[:500],
        )
        for found in report.findings
    )
    release.audit_state = report.state
    release.audit_rules = report.rules
    if report.state == "passed":
        release.audited_digest = report.digest
    elif release.approved_digest != release.digest:
        release.audited_digest = ""
    release.save(update_fields=["audit_state", "audit_rules", "audited_digest"])


def missing(release: Release) -> list[str]:
    """Required checks whose newest row for exactly these bytes, under the newest rules audited, is not a pass."""
    newest: dict[str, str] = {}
    rows = CheckResult.objects.filter(release=release, digest=release.digest, rules=release.audit_rules)
    for row in rows.order_by("id"):
        newest[row.family] = row.outcome
    return [name for name in required() if newest.get(name) != CheckOutcome.PASS]
