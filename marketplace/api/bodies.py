"""What the API takes, and reading the bytes of bundles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import IO, Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.parsers import BaseParser

from marketplace import bundles
from marketplace.errors import BundleTooLarge
from zelavis.api.camel import CamelSerializer

_DIGEST = r"^[0-9a-f]{64}$"
_SLUG = r"^[a-z]([a-z0-9]|-(?!-))*[a-z0-9]$"


def verb_parameter(verbs: Iterable[str]) -> OpenApiParameter:
    """The last part of a verb's path, for the description."""
    return OpenApiParameter("verb", OpenApiTypes.STR, OpenApiParameter.PATH, enum=[*verbs])


class _BytesParser(BaseParser):
    """The body as bytes, never more than a bundle may have."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        content = stream.read(bundles.MAX_BUNDLE + 1)
        if len(content) > bundles.MAX_BUNDLE:
            raise BundleTooLarge(f"The body has more than {bundles.MAX_BUNDLE:,} bytes.", rule="bundle_size")
        return content


def raw(request: Any) -> bytes | None:
    """The body as bytes; ``None``: it was JSON."""
    return request.data if isinstance(request.data, bytes) else None


class ZipParser(_BytesParser):
    """``application/zip``."""

    media_type = "application/zip"


class GzipParser(_BytesParser):
    """``application/gzip``."""

    media_type = "application/gzip"


class OctetParser(_BytesParser):
    """``application/octet-stream``."""

    media_type = "application/octet-stream"


class SpecifierBody(CamelSerializer):
    """Where the bundle is to be fetched from."""

    specifier = serializers.CharField(max_length=500)
    digest = serializers.RegexField(_DIGEST, required=False)
    signature = serializers.CharField(max_length=120, required=False)


class VerbBody(CamelSerializer):
    """Why, about which bytes, and which revision of the release was seen."""

    reason = serializers.CharField(max_length=5000, required=False, allow_blank=True)
    digest = serializers.RegexField(_DIGEST, required=False)
    revision = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)


class ApproveBody(VerbBody):
    """Approving names the bytes."""

    digest = serializers.RegexField(_DIGEST)


class ReasonBody(CamelSerializer):
    """Why."""

    reason = serializers.CharField(max_length=5000)


class RatingVerbBody(ReasonBody):
    """Why a rating is hidden, or shown again."""


class PluginVerbBody(ReasonBody):
    """Why, and what the deed needs: the text of a deprecation, the new publisher of a transfer."""

    value = serializers.CharField(max_length=500, required=False, allow_blank=True)


class PublisherBody(CamelSerializer):
    """A new publisher."""

    slug = serializers.RegexField(_SLUG, min_length=3, max_length=64)
    name = serializers.CharField(max_length=100)
    website = serializers.URLField(max_length=200, required=False)


class MemberBody(CamelSerializer):
    """A person and what they may do."""

    username = serializers.CharField(max_length=150)
    role = serializers.ChoiceField(choices=["owner", "maintainer"], default="maintainer")


class TokenBody(CamelSerializer):
    """A token to make."""

    name = serializers.CharField(max_length=80)
    days = serializers.IntegerField(min_value=1, max_value=366, default=90)
    plugin = serializers.CharField(max_length=64, required=False)


class KeyBody(CamelSerializer):
    """A raw Ed25519 public key, base64."""

    public_key = serializers.CharField(max_length=60)


class PublisherStateBody(ReasonBody):
    """What a curator says about a publisher."""

    state = serializers.ChoiceField(choices=["active", "suspended"], required=False)
    verified = serializers.BooleanField(required=False)


class TransferBody(ReasonBody):
    """To whom a plugin is offered."""

    publisher = serializers.CharField(max_length=64)


class UploadBody(CamelSerializer):
    """An upload announced."""

    plugin = serializers.CharField(max_length=64)
    publisher = serializers.CharField(max_length=64)
    size = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    digest = serializers.RegexField(_DIGEST)


class FinishBody(CamelSerializer):
    """An upload ended."""

    signature = serializers.CharField(max_length=120, required=False)


class RatingBody(CamelSerializer):
    """Stars, and words if one likes."""

    stars = serializers.IntegerField(min_value=1, max_value=5)
    text = serializers.CharField(max_length=2000, required=False, allow_blank=True)


class InstallBody(CamelSerializer):
    """The version that a site has installed."""

    version = serializers.CharField(max_length=64)
