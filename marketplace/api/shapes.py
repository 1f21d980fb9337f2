"""What the API answers, as serializers: the same shapes are its OpenAPI description."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace import capabilities
from marketplace.models import Plugin, Publisher, Release, Upload
from zelavis.api.camel import CamelSerializer


class PublisherRef(CamelSerializer):
    """A publisher, in short."""

    slug = serializers.CharField()
    name = serializers.CharField()
    verified = serializers.BooleanField()


class PluginSummary(CamelSerializer):
    """A plugin in a list."""

    name = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    license = serializers.CharField()
    publisher = PublisherRef()
    source = serializers.CharField()  # type: ignore[assignment]
    version = serializers.CharField(source="latest.version")
    kind = serializers.CharField(source="latest.kind")
    risk = serializers.CharField(source="latest.risk")
    deprecation = serializers.CharField()
    downloads = serializers.IntegerField()
    installs = serializers.IntegerField()
    rating = serializers.FloatField(allow_null=True)
    rating_count = serializers.IntegerField()
    updated_at = serializers.DateTimeField()


class FacetValue(CamelSerializer):
    """How many plugins have it."""

    value = serializers.CharField()
    count = serializers.IntegerField()


class PluginPage(CamelSerializer):
    """A page of the catalogue; ``next`` is a URL or null."""

    data = PluginSummary(many=True)  # type: ignore[assignment]
    next = serializers.URLField(allow_null=True)
    facets = serializers.DictField(child=FacetValue(many=True), required=False)


class ReleaseSummary(CamelSerializer):
    """A release, as everybody may see it."""

    id = serializers.CharField()
    plugin = serializers.CharField(source="plugin.name")
    version = serializers.CharField()
    state = serializers.CharField()
    digest = serializers.CharField()
    entry_digest = serializers.CharField()
    kind = serializers.CharField()
    size = serializers.IntegerField()
    risk = serializers.CharField()
    signed = serializers.SerializerMethodField()
    downloads = serializers.IntegerField()
    submitted_at = serializers.DateTimeField()
    approved_at = serializers.DateTimeField(allow_null=True)

    def get_signed(self, release: Release) -> bool:
        """Whether its publisher signed it."""
        return release.signed_by_id is not None


class CapabilityShape(CamelSerializer):
    """One capability that a release asks for."""

    capability = serializers.CharField()
    risk = serializers.CharField()
    reason = serializers.CharField()
    #: The quantities of the manifest.
    quantities = serializers.DictField()
    #: In words, generated from the capability.
    text = serializers.CharField()


class ReleaseShape(ReleaseSummary):
    """A release with everything that a decision to install needs."""

    manifest = serializers.DictField()
    capabilities = serializers.SerializerMethodField()
    delta = serializers.DictField()
    record = serializers.CharField(source="record_text")
    record_signature = serializers.CharField()
    readme = serializers.CharField()
    changelog = serializers.CharField()

    def get_capabilities(self, release: Release) -> list[dict[str, Any]]:
        """What it asks for."""
        return [
            {
                "capability": row["name"],
                "risk": row["risk"],
                "reason": row["reason"],
                "quantities": row["quantities"],
                "text": row["words"],
            }
            for row in capabilities.told(release.capabilities)
        ]


class FindingShape(CamelSerializer):
    """A finding of the audit."""

    rule = serializers.CharField()
    severity = serializers.CharField()
    place = serializers.CharField()
    message = serializers.CharField()
    advice = serializers.CharField()


class CheckShape(CamelSerializer):
    """A row of a required check."""

    family = serializers.CharField()
    outcome = serializers.CharField()
    rules = serializers.CharField()
    detail = serializers.CharField()
    created_at = serializers.DateTimeField()


class EventShape(CamelSerializer):
    """A deed of the history."""

    id = serializers.CharField()
    verb = serializers.CharField()
    actor = serializers.CharField()
    text = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()
    public = serializers.BooleanField()
    created_at = serializers.DateTimeField()


class ReviewShape(ReleaseShape):
    """A release as its publisher and curators see it: why it is where it is, and what can be done next."""

    revision = serializers.IntegerField()
    publisher = serializers.CharField(source="publisher.slug")
    claimed_by = serializers.CharField()
    audit_state = serializers.CharField()
    audit_rules = serializers.CharField()
    findings = FindingShape(many=True)
    checks = serializers.SerializerMethodField()
    events = serializers.SerializerMethodField()
    #: The verbs that the caller may do now.
    verbs = serializers.SerializerMethodField()

    def get_checks(self, release: Release) -> list[dict[str, Any]]:
        """The newest row of each check."""
        newest: dict[str, Any] = {}
        for row in release.checks.order_by("id"):
            newest[row.family] = row
        return list(CheckShape(list(newest.values()), many=True).data)

    def get_events(self, release: Release) -> list[dict[str, Any]]:
        """History, oldest first; internal notes for curators only."""
        rows = release.events.all() if self.context.get("curator") else release.events.filter(public=True)
        return list(EventShape(rows, many=True).data)

    def get_verbs(self, release: Release) -> list[str]:
        """Names of verbs."""
        return list(self.context.get("verbs", []))


class ReleasePage(CamelSerializer):
    """Releases."""

    data = ReleaseSummary(many=True)  # type: ignore[assignment]


class QueueItem(ReleaseSummary):
    """A release that waits."""

    publisher = serializers.CharField(source="publisher.slug")
    claimed_by = serializers.CharField()
    audit_state = serializers.CharField()
    delta = serializers.DictField()
    revision = serializers.IntegerField()


class QueuePage(CamelSerializer):
    """The queue, oldest first."""

    data = QueueItem(many=True)  # type: ignore[assignment]
    next = serializers.URLField(allow_null=True)


class PluginShape(PluginSummary):
    """A plugin with its README as safe HTML."""

    releases = serializers.SerializerMethodField()
    manifest = serializers.DictField(source="latest.manifest")
    readme_html = serializers.SerializerMethodField()
    icon = serializers.SerializerMethodField()

    def get_releases(self, plugin: Plugin) -> list[dict[str, Any]]:
        """The newest 50."""
        rows = Release.objects.public().filter(plugin=plugin).select_related("plugin").order_by("-version_sort")[:50]
        return list(ReleaseSummary(rows, many=True).data)

    def get_readme_html(self, plugin: Plugin) -> str:
        """Sanitised."""
        from marketplace.readmes import render

        return str(render(plugin.latest.readme)) if plugin.latest else ""

    def get_icon(self, plugin: Plugin) -> str | None:
        """Path of a PNG, or null."""
        return f"/marketplace/icons/{plugin.latest.icon_id}.png" if plugin.latest and plugin.latest.icon_id else None


class PublisherShape(PublisherRef):
    """A publisher; people, keys and tokens for its own people only."""

    website = serializers.CharField()
    state = serializers.CharField()
    plugins = serializers.SerializerMethodField()
    members = serializers.SerializerMethodField()
    keys = serializers.SerializerMethodField()
    tokens = serializers.SerializerMethodField()

    def get_plugins(self, publisher: Publisher) -> list[str]:
        """Names of its public plugins; all of them for its own people."""
        rows = (
            publisher.plugins.all()
            if self.context.get("inside")
            else Plugin.objects.public().filter(publisher=publisher)
        )
        return list(rows.order_by("name").values_list("name", flat=True)[:500])

    def get_members(self, publisher: Publisher) -> list[dict[str, str]]:
        """User name and role."""
        if not self.context.get("inside"):
            return []
        rows = publisher.memberships.select_related("user").order_by("created_at")
        return [{"username": row.user.get_username(), "role": row.role} for row in rows]

    def get_keys(self, publisher: Publisher) -> list[dict[str, Any]]:
        """Public keys: everybody may verify."""
        return [
            {"keyId": key.key_id, "publicKey": key.public_key, "revoked": key.revoked_at is not None}
            for key in publisher.keys.order_by("created_at")
        ]

    def get_tokens(self, publisher: Publisher) -> list[dict[str, Any]]:
        """Names and public prefixes; never a secret."""
        if not self.context.get("inside"):
            return []
        return [
            {
                "name": token.name,
                "prefix": token.prefix,
                "plugin": token.plugin.name if token.plugin else None,
                "createdBy": token.created_by,
                "expiresAt": token.expires_at.isoformat(),
                "revoked": token.revoked_at is not None,
            }
            for token in publisher.tokens.select_related("plugin").order_by("created_at")
        ]


class PublisherPage(CamelSerializer):
    """Publishers."""

    data = PublisherRef(many=True)  # type: ignore[assignment]


class NewToken(CamelSerializer):
    """A token that was just made; ``token`` is shown this once."""

    token = serializers.CharField()
    prefix = serializers.CharField()
    expires_at = serializers.DateTimeField()


class UploadShape(CamelSerializer):
    """An upload and how far it came."""

    id = serializers.CharField()
    plugin = serializers.CharField(source="plugin_name")
    size = serializers.IntegerField()
    digest = serializers.CharField()
    received = serializers.IntegerField()
    progress = serializers.SerializerMethodField()
    release = serializers.SerializerMethodField()
    expires_at = serializers.DateTimeField()

    def get_progress(self, upload: Upload) -> float:
        """From 0 to 1."""
        return round(upload.received / upload.size, 4)

    def get_release(self, upload: Upload) -> str | None:
        """Id of the release it became."""
        return upload.release_id or None


class RatingShape(CamelSerializer):
    """A rating from a site that has installed the plugin."""

    id = serializers.IntegerField()
    stars = serializers.IntegerField()
    text = serializers.CharField()
    version = serializers.CharField()
    #: Only curators see hidden ones.
    hidden = serializers.BooleanField()
    created_at = serializers.DateTimeField()


class RatingPage(CamelSerializer):
    """Ratings, newest first."""

    data = RatingShape(many=True)  # type: ignore[assignment]


class Envelope(CamelSerializer):
    """A signed document: base64 payload, Ed25519 over ``zelavis-feed-v1`` LF and the payload's bytes."""

    key_id = serializers.CharField()
    payload = serializers.CharField()
    signature = serializers.CharField()


class KeyShape(CamelSerializer):
    """The key with which this server signs."""

    key_id = serializers.CharField()
    public_key = serializers.CharField()
    algorithm = serializers.CharField()


class RuleShape(CamelSerializer):
    """A rule of the audit."""

    id = serializers.CharField()
    severity = serializers.CharField()
    text = serializers.CharField()
    example = serializers.CharField()
    advice = serializers.CharField()


class RulePage(CamelSerializer):
    """Every rule, and their version."""

    version = serializers.CharField()
    data = RuleShape(many=True)  # type: ignore[assignment]


class Accepted(CamelSerializer):
    """Done."""

    ok = serializers.BooleanField()
