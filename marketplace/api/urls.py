"""The marketplace's HTTP routes."""

from __future__ import annotations

from django.urls import path

from marketplace.api import catalogue, feeds, publishers, publishing, ratings, review

_ROOT = "api/marketplace"
_PLUGIN = f"{_ROOT}/plugins/<str:name>"
_RELEASE = f"{_PLUGIN}/releases/<str:version>"
_PUBLISHER = f"{_ROOT}/publishers/<str:slug>"

urlpatterns = [
    path(f"{_ROOT}/plugins", catalogue.Plugins.as_view(), name="marketplace-plugins"),
    path(_PLUGIN, catalogue.Plugin.as_view(), name="marketplace-plugin"),
    path(f"{_PLUGIN}/releases", publishing.Releases.as_view(), name="marketplace-releases"),
    path(_RELEASE, catalogue.Release.as_view(), name="marketplace-release"),
    path(f"{_RELEASE}/bundle", catalogue.Bundle.as_view(), name="marketplace-bundle"),
    path(f"{_RELEASE}/<str:verb>", publishing.OwnVerb.as_view(), name="marketplace-own-verb"),
    path(f"{_PLUGIN}/ratings", ratings.Ratings.as_view(), name="marketplace-ratings"),
    path(f"{_ROOT}/ratings/<int:rating_id>/<str:verb>", ratings.RatingVerb.as_view(), name="marketplace-rating-verb"),
    path(f"{_PLUGIN}/installs", ratings.Installs.as_view(), name="marketplace-installs"),
    path(f"{_PLUGIN}/transfer", publishers.TransferView.as_view(), name="marketplace-transfer"),
    path(f"{_PLUGIN}/transfer/accept", publishers.TransferAccept.as_view(), name="marketplace-transfer-accept"),
    path(f"{_PLUGIN}/verbs/<str:verb>", review.PluginVerb.as_view(), name="marketplace-plugin-verb"),
    path(f"{_ROOT}/uploads", publishing.Uploads.as_view(), name="marketplace-uploads"),
    path(f"{_ROOT}/uploads/<str:upload_id>", publishing.Upload.as_view(), name="marketplace-upload"),
    path(f"{_ROOT}/uploads/<str:upload_id>/finish", publishing.UploadFinish.as_view(), name="marketplace-finish"),
    path(f"{_ROOT}/queue", review.Queue.as_view(), name="marketplace-queue"),
    path(f"{_ROOT}/releases/<str:release_id>", review.Review.as_view(), name="marketplace-review"),
    path(f"{_ROOT}/releases/<str:release_id>/<str:verb>", review.ReviewVerb.as_view(), name="marketplace-verb"),
    path(f"{_ROOT}/publishers", publishers.Publishers.as_view(), name="marketplace-publishers"),
    path(_PUBLISHER, publishers.PublisherDetail.as_view(), name="marketplace-publisher"),
    path(f"{_PUBLISHER}/state", publishers.PublisherState.as_view(), name="marketplace-publisher-state"),
    path(f"{_PUBLISHER}/members", publishers.Members.as_view(), name="marketplace-members"),
    path(f"{_PUBLISHER}/members/<str:username>", publishers.Member.as_view(), name="marketplace-member"),
    path(f"{_PUBLISHER}/tokens", publishers.Tokens.as_view(), name="marketplace-tokens"),
    path(f"{_PUBLISHER}/tokens/<str:prefix>", publishers.Token.as_view(), name="marketplace-token"),
    path(f"{_PUBLISHER}/keys", publishers.Keys.as_view(), name="marketplace-keys"),
    path(f"{_PUBLISHER}/keys/<str:key_id>", publishers.Key.as_view(), name="marketplace-publisher-key"),
    path(f"{_ROOT}/feed", feeds.Feed.as_view(), name="marketplace-feed"),
    path(f"{_ROOT}/allowlist", feeds.AllowList.as_view(), name="marketplace-allowlist"),
    path(f"{_ROOT}/key", feeds.Key.as_view(), name="marketplace-key"),
    path(f"{_ROOT}/rules", catalogue.Rules.as_view(), name="marketplace-rules"),
    path(f"{_ROOT}/schemas/zelavis.plugin.v1.json", catalogue.ManifestSchema.as_view(), name="marketplace-schema"),
]
