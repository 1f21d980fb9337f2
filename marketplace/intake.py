"""Taking in a release: read strictly, audit without executing, store everything in one transaction or nothing."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from marketplace import (
    blobs,
    bundles,
    capabilities,
    history,
    icons,
    manifest,
    names,
    ports,
    publishers,
    signatures,
    versions,
)
from marketplace.actors import Actor
from marketplace.audit import rows, run
from marketplace.audit.base import Subject
from marketplace.errors import (
    InvalidManifest,
    NameTaken,
    QueueFull,
    ReleaseRefused,
    VersionTaken,
)
from marketplace.models import Plugin, Publisher, Release, ReleaseState

#: Releases of one publisher that may wait for review at a time.
MAX_WAITING = 20
#: Names compared with a new one; more begin alike only when somebody floods.
_MOST_LOOK_ALIKES = 500


def submit(
    bundle: bytes,
    *,
    actor: Actor,
    publisher: str | None = None,
    plugin: str | None = None,
    signature: str = "",
    specifier: str = "",
    now: datetime | None = None,
) -> Release:
    """Take in a bundle. The same bytes again answer the release that they became.

    Args:
        publisher: slug that the manifest must name; ``None``: whatever it names.
        plugin: name that the manifest must have; ``None``: whatever it has.
        signature: base64 Ed25519 signature of a live key of the publisher; see ``signatures``.
        specifier: where the bytes were fetched from.

    Raises:
        ZelavisError: a code, the file and the rule; nothing was stored.
    """
    moment = now or timezone.now()
    read = bundles.read(bundle)
    parsed = _manifest(read, publisher=publisher, plugin=plugin)
    owner = publishers.get(parsed.publisher)
    publishers.require_member(owner, actor, plugin=parsed.name)
    publishers.require_active(owner)
    known = _known(parsed, owner, read)
    if known is not None:
        return known
    waiting = Release.objects.waiting().filter(publisher=owner).count()
    if waiting >= getattr(settings, "MARKETPLACE_MAX_WAITING", MAX_WAITING):
        raise QueueFull(f"{waiting} releases of {owner.slug} wait for review.", waiting=waiting)
    key = signatures.check(owner, read.digest, signature, now=moment)
    subject = subject_of(read, parsed, owner)
    report = run.audit(subject)
    if report.errors:
        _refuse(report)
    try:
        with transaction.atomic():
            release = _store(
                bundle, subject, report, owner=owner, actor=actor, key=key, signature=signature,
                specifier=specifier, now=moment,
            )  # fmt: skip
    except IntegrityError:
        # Somebody else was first with this version or name, between the look and the write.
        known = _known(parsed, owner, read)
        if known is None:
            raise
        return known
    return release


def _manifest(read: bundles.Bundle, *, publisher: str | None, plugin: str | None) -> manifest.Manifest:
    raw = read.files.get(manifest.NAME)
    if raw is None:
        raise InvalidManifest(
            f"The bundle has no {manifest.NAME} at its top.", file=manifest.NAME, rule="manifest_missing"
        )
    parsed = manifest.parse(raw)
    for wanted, given, what in ((plugin, parsed.name, "name"), (publisher, parsed.publisher, "publisher")):
        if wanted is not None and wanted != given:
            raise InvalidManifest(
                f"The manifest says {what} {given!r}, the request {wanted[:64]!r}.",
                file=manifest.NAME,
                rule=f"manifest_{what}_differs",
            )
    if parsed.entry not in read.files:
        raise InvalidManifest(
            f"The entry {parsed.entry} is not in the bundle.", file=parsed.entry, rule="manifest.entry-missing"
        )
    return parsed


def _known(parsed: manifest.Manifest, owner: Publisher, read: bundles.Bundle) -> Release | None:
    """The release that these bytes became before.

    Raises:
        NameTaken: the name is another publisher's, or was taken down. VersionTaken: the version has other bytes.
    """
    plugin = Plugin.objects.filter(name=parsed.name).first()
    if plugin is None:
        return None
    if plugin.publisher_id != owner.pk or plugin.state == Plugin.State.REMOVED:
        raise NameTaken(f"The name {parsed.name} is taken.")
    release = Release.objects.select_related("plugin").filter(plugin=plugin, version=parsed.version).first()
    if release is not None and release.digest != read.digest:
        raise VersionTaken(
            f"{parsed.name} {parsed.version} exists with other bytes; submit a new version.",
            existing=release.digest,
            submitted=read.digest,
        )
    return release


def subject_of(read: bundles.Bundle, parsed: manifest.Manifest, owner: Publisher) -> Subject:
    """What the rules look at."""

    def look_alikes(name: str) -> list[str]:
        alike = Plugin.objects.exclude(publisher=owner).exclude(name=name)
        same = list(alike.filter(skeleton=names.skeleton(name)).values_list("name", flat=True))
        # One edit away: same first or same last letters, and nearly the same length.
        near = alike.filter(name__startswith=name[:3])[:_MOST_LOOK_ALIKES].values_list("name", flat=True)
        return [*same, *(other for other in near if other not in same and abs(len(other) - len(name)) <= 1)]

    return Subject(
        bundle=read,
        manifest=parsed,
        publisher=owner.slug,
        verified=owner.verified,
        look_alikes=look_alikes,
        hooks=ports.hook_names(),
    )


def _refuse(report: run.Report) -> None:
    first = report.errors[0]
    more = f" And {len(report.errors) - 1} more." if len(report.errors) > 1 else ""
    raise ReleaseRefused(
        f"{first.rule.id}{' in ' + first.place if first.place else ''}: {first.message}{more}",
        rule=first.rule.id,
        file=first.place.rpartition(":")[0] or first.place,
        findings=[finding_json(found) for found in report.findings],
    )


def finding_json(found: Any) -> dict[str, str]:
    """A finding as in answers."""
    return {
        "rule": found.rule.id,
        "severity": found.rule.severity,
        "place": found.place,
        "message": found.message,
        "advice": found.rule.advice,
    }


def _store(
    content: bytes,
    subject: Subject,
    report: run.Report,
    *,
    owner: Publisher,
    actor: Actor,
    key: Any,
    signature: str,
    specifier: str,
    now: datetime,
) -> Release:
    parsed = subject.manifest
    plugin, _ = Plugin.objects.get_or_create(
        name=parsed.name,
        defaults={
            "publisher": owner,
            "skeleton": names.skeleton(parsed.name),
            "title": parsed.data["title"],
            "description": parsed.data["description"],
            "license": parsed.data["license"],
        },
    )
    _require_still(owner, plugin, actor)
    blobs.put(content)
    entry = blobs.put(subject.entry)
    icon_name = icons.find(subject.bundle.files)
    icon = None
    if icon_name and not icons.problem(subject.bundle.files[icon_name]):
        icon = blobs.put(icons.encode(subject.bundle.files[icon_name]))
    base = Release.objects.filter(plugin=plugin, state=ReleaseState.APPROVED).order_by("-version_sort").first()
    release = Release(
        plugin=plugin,
        publisher=owner,
        version=parsed.version,
        version_sort=versions.sort_key(parsed.version),
        digest=subject.bundle.digest,
        entry_digest=entry.digest,
        kind=parsed.kind,
        size=subject.bundle.size,
        manifest_text=parsed.text,
        specifier=specifier,
        inspection_text=rows.inspection_text(subject),
        readme=_text(subject, "readme"),
        changelog=_text(subject, "changelog"),
        icon=icon,
        risk=capabilities.release_risk(parsed.data),
        delta_text=json.dumps(
            {
                "base": base.version if base else None,
                **capabilities.delta(base.capabilities if base else None, parsed.capabilities),
            }
        ),
        signed_by=key,
        signature=signature,
        submitted_by=actor.user,
        submitted_actor=actor.name,
        submitted_at=now,
        state_changed_at=now,
    )
    release.save(force_insert=True)
    rows.record(release, report)
    history.write(
        release, "submit", actor=actor, now=now, after=release.state, changes={"digest": [None, release.digest]}
    )
    _supersede(release, actor=actor, now=now)
    return release


def _require_still(owner: Publisher, plugin: Plugin, actor: Actor) -> None:
    """What was seen before the audit holds at the write too: it took a while, and locks keep it so until the end.

    Raises:
        NameTaken, NotAMember, PublisherSuspended: somebody was faster with the name, the plugin changed hands or was
        taken down, the person was taken off, the publisher was suspended.
    """
    owner = Publisher.objects.select_for_update().get(pk=owner.pk)
    publishers.require_member(owner, actor, plugin=plugin.name)
    publishers.require_active(owner)
    row = Plugin.objects.select_for_update().get(pk=plugin.pk)
    if row.publisher_id != owner.pk or row.state == Plugin.State.REMOVED:
        raise NameTaken(f"The name {plugin.name} is taken.")


def _text(subject: Subject, name: str) -> str:
    found = subject.find(name)
    return subject.texts.get(found, "") if found else ""


def _supersede(release: Release, *, actor: Actor, now: datetime) -> None:
    """A newer submission replaces those of the same plugin that wait for its publisher."""
    older = Release.objects.filter(
        plugin_id=release.plugin_id,
        state=ReleaseState.CHANGES_REQUESTED,
        version_sort__lt=release.version_sort,
    )
    for one in older.select_for_update():
        before = one.state
        one.state, one.state_changed_at, one.revision = ReleaseState.WITHDRAWN, now, one.revision + 1
        one.save(update_fields=["state", "state_changed_at", "revision"])
        history.write(
            one,
            "withdraw",
            actor=actor,
            now=now,
            text=f"Replaced by {release.version}.",
            before=before,
            after=one.state,
        )
