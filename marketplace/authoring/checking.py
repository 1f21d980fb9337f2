"""``plugin check``: the marketplace's audit, on the author's own machine, with the same rules."""

from __future__ import annotations

from typing import Any

from marketplace import bundles, ports
from marketplace.audit import run
from marketplace.audit.base import Subject
from marketplace.authoring.project import Project, bundle


def check(project: Project) -> run.Report:
    """Audit the bundle that ``pack`` would make. Names of other plugins are not known here."""
    subject = Subject(
        bundle=bundles.read(bundle(project)),
        manifest=project.manifest,
        publisher=project.manifest.publisher,
        verified=True,
        hooks=ports.hook_names(),
    )
    return run.audit(subject)


def as_json(report: run.Report) -> dict[str, Any]:
    """A report as the command prints it."""
    return {
        "state": report.state,
        "digest": report.digest,
        "checks": [{"family": one.family, "outcome": one.outcome, "detail": one.detail} for one in report.checks],
        "findings": [
            {
                "rule": one.rule.id,
                "severity": one.rule.severity,
                "place": one.place,
                "message": one.message,
                "advice": one.rule.advice,
            }
            for one in report.findings
        ],
    }
