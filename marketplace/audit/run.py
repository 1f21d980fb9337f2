"""Running the audit: every required family leaves a row, whatever becomes of it."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from marketplace.audit import (
    archive_rules,
    licence_rules,
    limit_rules,
    manifest_rules,
    module_rules,
    name_rules,
    readme_rules,
    script_rules,
    secret_rules,
    text_rules,
)
from marketplace.audit.base import ERROR, MOST_OF_A_RULE, Family, Found, Rule, Subject

logger = logging.getLogger("zelavis.marketplace.audit")
#: A family that takes longer has not looked at everything in time: inconclusive. Seconds.
BUDGET = 10.0
#: Every check that a release needs a positive row of. There is no switch that leaves one out.
FAMILIES: tuple[Family, ...] = (
    manifest_rules.FAMILY,
    archive_rules.FAMILY,
    script_rules.FAMILY,
    module_rules.FAMILY,
    limit_rules.FAMILY,
    name_rules.FAMILY,
    text_rules.FAMILY,
    secret_rules.FAMILY,
    readme_rules.FAMILY,
    licence_rules.FAMILY,
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """What became of one family."""

    family: str
    #: ``pass``, ``fail`` or ``inconclusive``.
    outcome: str
    detail: str
    duration_ms: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """One audit of one digest."""

    digest: str
    rules: str
    checks: tuple[Check, ...]
    findings: tuple[Found, ...]

    @property
    def state(self) -> str:
        """``passed``, ``failed`` or ``inconclusive``. Passed means: a positive row of every required check."""
        outcomes = {check.family: check.outcome for check in self.checks}
        if "fail" in outcomes.values():
            return "failed"
        return "passed" if all(outcomes.get(name) == "pass" for name in required()) else "inconclusive"

    @property
    def errors(self) -> list[Found]:
        """The findings that refuse a release."""
        return [found for found in self.findings if found.rule.severity == ERROR]


def required() -> tuple[str, ...]:
    """Names of the required checks."""
    return tuple(family.name for family in FAMILIES)


def rules() -> list[Rule]:
    """Every rule there is."""
    return [rule for family in FAMILIES for rule in family.rules]


@cache
def rules_version() -> str:
    """Changes whenever a rule does: the catalogue is then audited again. Digest of the rules' own source."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def audit(subject: Subject, *, families: Iterable[Family] = FAMILIES) -> Report:
    """Apply every family. Never raises for anything in the bundle, and executes nothing of it."""
    checks, findings = [], []
    for family in families:
        began = time.monotonic()
        found: list[Found] = []
        try:
            found = list(_bounded(family, subject))
            outcome = "fail" if any(one.rule.severity == ERROR for one in found) else "pass"
            detail = next((one.message for one in found if one.rule.severity == ERROR), "")
        except Exception as error:  # a rule that breaks must not look like one that found nothing
            logger.exception("audit family broke", extra={"family": family.name, "digest": subject.bundle.digest})
            outcome, detail = "inconclusive", f"the check broke: {type(error).__name__}"
        seconds = time.monotonic() - began
        if outcome == "pass" and seconds > BUDGET:
            outcome, detail = "inconclusive", f"the check took {seconds:.1f} s"
        findings += found
        checks.append(Check(family=family.name, outcome=outcome, detail=detail[:500], duration_ms=int(seconds * 1000)))
    return Report(digest=subject.bundle.digest, rules=rules_version(), checks=tuple(checks), findings=tuple(findings))


def _bounded(family: Family, subject: Subject) -> Iterable[Found]:
    """At most so many findings of a rule: a flood of one must not hide another."""
    counts: dict[str, int] = {}
    for found in family.check(subject):
        counts[found.rule.id] = counts.get(found.rule.id, 0) + 1
        if counts[found.rule.id] <= MOST_OF_A_RULE:
            yield found
