"""What the review page shows. Everything is read: nothing of a release runs here."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.urls import NoReverseMatch, reverse

from marketplace import approvals, blobs, bundles, capabilities, curation
from marketplace.actors import Actor
from marketplace.admin import module_page
from marketplace.audit import rows
from marketplace.audit.run import rules_version
from marketplace.models import CheckResult, Release, ReleaseState
from zelavis.errors import ZelavisError

#: Characters of a file that the page shows.
MAX_SHOWN = 200_000
#: What is decided most often, in order; so many of them stand in the bar, the others under "More".
_FIRST = ("approve", "request_changes", "reject", "release", "unyank", "quarantine", "yank", "resubmit", "takedown")
MOST_FIRST = 2
_SEVERITIES = ("error", "warning", "notice")


def context(release: Release, *, actor: Actor, now: datetime) -> dict[str, Any]:
    """The template's variables."""
    findings = list(release.findings.all())
    base, files = _base(release), _files(release)
    possible = curation.possible(release, actor, now=now)
    first = [verb for name in _FIRST for verb in possible if verb.name == name][:MOST_FIRST]
    return {
        "release": release,
        "plugin": release.plugin,
        "manifest_json": json.dumps(release.manifest, indent=2, ensure_ascii=False),
        "capability_rows": _capabilities(release, base),
        "delta_now": capabilities.delta(base.capabilities if base else None, release.capabilities),
        "base": base,
        "manifest_diff": _diff(base, release),
        "surface": _surface(release),
        "findings": sorted(findings, key=lambda one: _SEVERITIES.index(one.severity)),
        "finding_counts": counts(findings),
        "checks": _checks(release),
        "missing": rows.missing(release),
        "rules_are_old": release.audit_rules != rules_version(),
        "module": None if files is None else _module(release, files),
        "events": list(release.events.all()),
        "approvals": approvals.given(release),
        "approvals_needed": approvals.needed(release),
        "files": None if files is None else [(name, len(content)) for name, content in files.items()],
        "waited": release.waited_seconds(now) if release.state in _OPEN else None,
        "verbs": [(verb, _verb_url(release, verb.name)) for verb in first],
        "more_verbs": [(verb, _verb_url(release, verb.name)) for verb in possible if verb not in first],
        "install_url": install_url(release) if release.state == ReleaseState.APPROVED else "",
        "record": json.loads(release.record_text) if release.record_text else None,
    }


_OPEN = (ReleaseState.SUBMITTED, ReleaseState.IN_REVIEW, ReleaseState.CHANGES_REQUESTED)


def counts(findings: list[Any]) -> list[tuple[str, int]]:
    """Findings by severity, the heaviest first; none left out but those with nothing."""
    number = Counter(finding.severity for finding in findings)
    return [(severity, number[severity]) for severity in _SEVERITIES if number[severity]]


def _base(release: Release) -> Release | None:
    """The newest approved release but this one: what sites run now."""
    approved = Release.objects.filter(plugin=release.plugin, state=ReleaseState.APPROVED).exclude(pk=release.pk)
    return approved.filter(version_sort__lt=release.version_sort).order_by("-version_sort").first()


def _capabilities(release: Release, base: Release | None) -> list[dict[str, Any]]:
    before = base.capabilities if base else {}
    return [
        {**row, "new": base is not None and row["name"] not in before}
        for row in capabilities.told(release.capabilities)
    ]


def _surface(release: Release) -> dict[str, Any]:
    manifest = release.manifest
    return {name: manifest.get(name, []) for name in ("hooks", "routes", "schedules", "workflows")}


def _diff(base: Release | None, release: Release) -> list[tuple[str, str]]:
    """Lines of a unified diff of the manifests with their class; empty: nothing to compare."""
    if base is None:
        return []
    texts = [json.dumps(one.manifest, indent=2, ensure_ascii=False).splitlines() for one in (base, release)]
    lines = difflib.unified_diff(texts[0], texts[1], base.version, release.version, lineterm="", n=2)
    marks = {"+": "added", "-": "removed"}
    return [(marks.get(line[0], ""), line) for line in lines]


def _checks(release: Release) -> list[CheckResult]:
    """The newest row of each check for these bytes."""
    newest: dict[str, CheckResult] = {}
    for row in CheckResult.objects.filter(release=release, digest=release.digest).order_by("id"):
        newest[row.family] = row
    return list(newest.values())


def _files(release: Release) -> Mapping[str, bytes] | None:
    """The bundle's files; ``None``: the bytes are gone or damaged."""
    try:
        return bundles.read(blobs.get(release.digest)).files
    except ZelavisError:
        return None


def _module(release: Release, files: Mapping[str, bytes]) -> module_page.Module | None:
    """What a wasm entry says by itself; ``None``: it is none, or cannot be read."""
    source = files.get(release.manifest["entry"])
    return module_page.describe(source, release.inspection) if release.kind == "wasm" and source is not None else None


def file_text(release: Release, name: str) -> str | None:
    """A file of the bundle as text; ``None``: there is no such file.

    Raises:
        ZelavisError: the bytes are gone or damaged.
    """
    content = bundles.read(blobs.get(release.digest)).files.get(name)
    if content is None:
        return None
    try:
        return content.decode("utf-8")[:MAX_SHOWN]
    except UnicodeDecodeError:
        return "\n".join(content[at : at + 16].hex(" ") for at in range(0, min(len(content), 4096), 16))


def _verb_url(release: Release, verb: str) -> str:
    return reverse("admin:marketplace_release_verb", args=[release.pk, verb])


def install_url(release: Release) -> str:
    """The core's consent page; empty when there is no core."""
    try:
        return f"{reverse('admin:zelavis_pluginentry_install', args=[release.plugin.name])}?version={release.version}"
    except NoReverseMatch:
        return ""
