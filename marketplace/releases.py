"""What may be installed, and its bytes. The core asks here and nowhere else."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from marketplace import blobs, bundles, following, ports, versions
from marketplace.bundles import digest_of
from marketplace.errors import (
    DigestMismatch,
    Incompatible,
    NotApproved,
    NothingInstallable,
    PluginNotFound,
    ReleaseBlocked,
    ReleaseNotFound,
    ReleaseYanked,
)
from marketplace.models import Plugin, Release, ReleaseState

_BLOCKED = (ReleaseState.QUARANTINED, ReleaseState.REMOVED)


def installable(
    name: str, version: str | None = None, *, host: str | None = None, now: datetime | None = None
) -> Release:
    """The release to install: the one named, or the newest approved one that works with this host.

    Args:
        host: version of Zelavis that asks; ``None``: this one.

    Raises:
        PluginNotFound, ReleaseNotFound: there is none. ReleaseBlocked: quarantined, taken down, or revoked by a feed
        that we follow. ReleaseYanked, NotApproved, Incompatible: as they say. NothingInstallable: no release left.
    """
    moment = now or timezone.now()
    plugin = Plugin.objects.filter(name=name).first()
    if plugin is None:
        raise PluginNotFound(f"The marketplace has no plugin {name[:64]!r}.")
    if plugin.state == Plugin.State.REMOVED:
        raise ReleaseBlocked(f"{name} was taken down.")
    if version is not None:
        release = Release.objects.select_related("plugin", "publisher").filter(plugin=plugin, version=version).first()
        if release is None:
            raise ReleaseNotFound(f"{name} has no release {version[:64]!r}.")
        refuse_unless_offered(release, host=host, now=moment)
        return release
    offered = Release.objects.select_related("plugin", "publisher").filter(plugin=plugin, state=ReleaseState.APPROVED)
    why: Exception | None = None
    early: Release | None = None
    for release in offered.order_by("-version_sort")[:200]:
        try:
            refuse_unless_offered(release, host=host, now=moment)
        except (Incompatible, ReleaseBlocked) as error:
            why = why or error
            continue
        if not versions.parse(release.version).is_prerelease:
            return release
        early = early or release
    if early is not None:
        # A pre-release is taken when nothing else works here.
        return early
    if why is not None:
        raise why
    raise NothingInstallable(f"{name} has no approved release.")


def refuse_unless_offered(release: Release, *, host: str | None = None, now: datetime | None = None) -> None:
    """Raise what stands against installing a release; see :func:`installable`."""
    if release.state in _BLOCKED or release.plugin.state == Plugin.State.REMOVED:
        raise ReleaseBlocked(f"{release} is {release.state.replace('_', ' ')}.", state=release.state)
    if release.state == ReleaseState.YANKED:
        raise ReleaseYanked(f"{release} was yanked.")
    if release.state != ReleaseState.APPROVED or release.approved_digest != release.digest:
        raise NotApproved(f"{release} is {release.state.replace('_', ' ')}, not approved.", state=release.state)
    following.refuse_revoked(release.digest, str(release), now=now or timezone.now())
    wanted = release.manifest["compatibility"]["zelavis"]
    running = host or ports.host_version()
    if not versions.satisfies(running, wanted):
        raise Incompatible(f"{release} works with Zelavis {wanted}; this is {running}.", wanted=wanted, host=running)


def compatible(release: Release, *, host: str | None = None) -> bool:
    """Whether the release says that it works with this host: for reports before an upgrade."""
    return versions.satisfies(host or ports.host_version(), release.manifest["compatibility"]["zelavis"])


def bundle(release: Release) -> bytes:
    """The bundle's bytes, verified.

    Raises:
        ArtifactMissing, DigestMismatch: they are gone or damaged.
    """
    return blobs.get(release.digest)


def entry_source(release: Release) -> bytes:
    """The entry file's bytes: taken from the bundle, and both verified against the digests of the row.

    Raises:
        ArtifactMissing, DigestMismatch: they are gone or damaged.
    """
    content = bundles.read(blobs.get(release.digest)).files.get(release.manifest["entry"], b"")
    if digest_of(content) != release.entry_digest:
        raise DigestMismatch("The entry file is not the one that was audited.", digest=release.entry_digest)
    return content


def is_newer(release: Release, version: str) -> bool:
    """Whether a release is newer than a version that is installed."""
    return versions.parse(release.version) > versions.parse(version)


def downloadable(release: Release) -> bool:
    """Whether the bytes are given to everybody: approved, or yanked and still installed somewhere."""
    return release.state in (ReleaseState.APPROVED, ReleaseState.YANKED) and release.plugin.state == Plugin.State.LISTED
