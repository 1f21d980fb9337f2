"""Errors of the marketplace. Each is documented in docs/reference/errors.md."""

from __future__ import annotations

from zelavis.errors import NotFound, ZelavisError


class InvalidBundle(ZelavisError):
    """The bundle cannot be read safely."""

    code = "invalid_bundle"
    status = 422


class BundleTooLarge(ZelavisError):
    """The bundle, or something in it, is larger than allowed."""

    code = "bundle_too_large"
    status = 413


class InvalidManifest(ZelavisError):
    """The manifest zelavis.plugin.json is not what its schema asks for."""

    code = "invalid_manifest"
    status = 422


class ReleaseRefused(ZelavisError):
    """The audit found errors; nothing was stored."""

    code = "release_refused"
    status = 422


class VersionTaken(ZelavisError):
    """This version exists with other bytes; a version is one set of bytes for ever."""

    code = "version_taken"
    status = 409


class NameTaken(ZelavisError):
    """This plugin name belongs to another publisher, or to a plugin that was taken down."""

    code = "name_taken"
    status = 409


class PublisherSuspended(ZelavisError):
    """This publisher may not publish at present."""

    code = "publisher_suspended"
    status = 403


class NotAMember(ZelavisError):
    """Only people of the publisher may do this."""

    code = "not_a_member"
    status = 403


class NotPermitted(ZelavisError):
    """You lack the permission that this deed needs."""

    code = "not_permitted"
    status = 403


class ReasonRequired(ZelavisError):
    """This deed needs a reason."""

    code = "reason_required"
    status = 400


class WrongState(ZelavisError):
    """The release is in a state that this deed does not start from."""

    code = "wrong_state"
    status = 409


class ReviewConflict(ZelavisError):
    """Somebody else has changed or claimed the release meanwhile."""

    code = "review_conflict"
    status = 409


class OwnRelease(ZelavisError):
    """Nobody decides about a release of their own or of their publisher."""

    code = "own_release"
    status = 403


class AuditNotPassed(ZelavisError):
    """A required check has no passing row for these bytes."""

    code = "audit_not_passed"
    status = 409


class DigestMismatch(ZelavisError):
    """The bytes are not those of the digest."""

    code = "digest_mismatch"
    status = 409


class PluginNotFound(NotFound):
    """The marketplace has no plugin of this name."""

    code = "plugin_not_found"
    status = 404


class ReleaseNotFound(NotFound):
    """The plugin has no such release."""

    code = "release_not_found"
    status = 404


class NothingInstallable(ZelavisError):
    """The plugin has no release that can be installed."""

    code = "nothing_installable"
    status = 409


class ReleaseYanked(ZelavisError):
    """This release was yanked: it is not offered any more."""

    code = "release_yanked"
    status = 409


class ReleaseBlocked(ZelavisError):
    """This release is quarantined, taken down or revoked."""

    code = "release_blocked"
    status = 403


class Incompatible(ZelavisError):
    """The plugin does not say that it works with this version of Zelavis."""

    code = "incompatible"
    status = 409


class NotApproved(ZelavisError):
    """This release is not approved."""

    code = "release_not_approved"
    status = 409


class ArtifactMissing(ZelavisError):
    """The bytes of this release are not stored any more."""

    code = "artifact_missing"
    status = 410


class PublisherNotFound(NotFound):
    """There is no publisher of this name, or you are none of its people."""

    code = "publisher_not_found"
    status = 404


class PublisherExists(ZelavisError):
    """This publisher name is taken."""

    code = "publisher_exists"
    status = 409


class UploadNotFound(NotFound):
    """There is no such open upload, or it has expired."""

    code = "upload_not_found"
    status = 404


class UploadOffset(ZelavisError):
    """The piece does not begin where the upload stands; the answer's `received` says where that is."""

    code = "upload_offset"
    status = 409


class QueueFull(ZelavisError):
    """This publisher has as many releases waiting for review as it may have."""

    code = "queue_full"
    status = 429


class InvalidSignature(ZelavisError):
    """The bundle's signature does not fit a live key of the publisher."""

    code = "invalid_signature"
    status = 422


class SpecifierRefused(ZelavisError):
    """The specifier cannot be fetched."""

    code = "specifier_refused"
    status = 422


class TransferNotFound(NotFound):
    """There is no open transfer of this plugin."""

    code = "transfer_not_found"
    status = 404


class FeedRefused(ZelavisError):
    """The feed is not signed by the key we trust, is malformed, expired, or older than what we hold."""

    code = "feed_refused"
    status = 422


class FeedSourceNotFound(NotFound):
    """There is no such feed source."""

    code = "feed_source_not_found"
    status = 404


class RatingRefused(ZelavisError):
    """Only a site that has installed the plugin rates it, once, and never its own publisher."""

    code = "rating_refused"
    status = 403


class RatingNotFound(NotFound):
    """There is no such rating."""

    code = "rating_not_found"
    status = 404


class RolloutRefused(ZelavisError):
    """This rollout cannot be started."""

    code = "rollout_refused"
    status = 409
