"""The signed feed, the allow-list and the key that signs both."""

from __future__ import annotations

import base64
from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace import feed, signatures
from marketplace.api import shapes
from zelavis.api.permissions import PUBLIC


class Feed(APIView):
    """Revocations."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC}

    @extend_schema(operation_id="marketplace_feed", responses=shapes.Envelope)
    def get(self, request: Request) -> Response:
        """What holds now, signed, with a serial that only grows and an expiry."""
        return Response(feed.published(now=timezone.now()))


class AllowList(APIView):
    """For a site without a network."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC}

    @extend_schema(operation_id="marketplace_allowlist", responses=shapes.Envelope)
    def get(self, request: Request) -> Response:
        """Revocations and every release that may be installed, signed."""
        return Response(feed.published(now=timezone.now(), with_allowed=True))


class Key(APIView):
    """The key that signs."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC}

    @extend_schema(operation_id="marketplace_key", responses=shapes.KeyShape)
    def get(self, request: Request) -> Response:
        """Raw Ed25519 public key, base64. Compare it over a second channel before you trust it."""
        public = signatures.server_public_key()
        data = {
            "key_id": signatures.key_id(base64.b64decode(public)),
            "public_key": public,
            "algorithm": "Ed25519",
        }
        return Response(shapes.KeyShape(data).data)
