"""Publishing: bundles in one piece, by specifier, or in pieces that can be continued."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from marketplace import actors, curation, intake, publishers, specifiers, uploads
from marketplace.api import bodies, shapes
from marketplace.api.catalogue import find_release, public_plugin, review_context, sees_inside
from marketplace.errors import ReleaseNotFound
from marketplace.models import Release
from zelavis.api.camel import read
from zelavis.api.parsers import StrictJSONParser
from zelavis.api.permissions import PUBLIC
from zelavis.errors import InvalidRequest

_BYTES = (bodies.ZipParser, bodies.GzipParser, bodies.OctetParser)
_SIGNATURE = OpenApiParameter("Zelavis-Signature", OpenApiTypes.STR, OpenApiParameter.HEADER)
_OFFSET = OpenApiParameter("Upload-Offset", OpenApiTypes.INT, OpenApiParameter.HEADER)
#: What a publisher does about its own release.
PUBLISHER_VERBS = ("withdraw", "resubmit", "yank")


def submitted(request: Request, release: Release) -> Response:
    """201 with where the release stands and where to ask again."""
    found = Release.objects.select_related("plugin", "publisher", "signed_by").get(pk=release.pk)
    location = reverse("marketplace-release", args=[found.plugin.name, found.version], request=request)
    body = shapes.ReviewShape(found, context=review_context(request, found)).data
    return Response(body, status=status.HTTP_201_CREATED, headers={"Location": location})


class Releases(APIView):
    """The releases of a plugin."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC, "POST": "marketplace:publish"}
    parser_classes = (StrictJSONParser, *_BYTES)

    @extend_schema(operation_id="marketplace_releases", responses=shapes.ReleasePage)
    def get(self, request: Request, name: str) -> Response:
        """Newest first: the public ones, and all of them for the publisher and curators."""
        every = Release.objects.select_related("plugin", "plugin__publisher").filter(plugin__name=name)
        first = every.first()
        if first is None or not sees_inside(request, first):
            plugin = public_plugin(name)
            every = Release.objects.public().select_related("plugin").filter(plugin=plugin)
        return Response(shapes.ReleasePage({"data": list(every.order_by("-version_sort")[:200])}).data)

    @extend_schema(
        operation_id="marketplace_publish",
        parameters=[_SIGNATURE],
        request={"application/json": bodies.SpecifierBody, "application/zip": OpenApiTypes.BINARY},
        responses={201: shapes.ReviewShape},
    )
    def post(self, request: Request, name: str) -> Response:
        """Submit a bundle: its bytes, or a URL to fetch it from. The same bytes again answer the same release."""
        actor = actors.of(request)
        signature = request.headers.get("Zelavis-Signature", "")
        specifier = ""
        content = bodies.raw(request)
        if content is None:
            body = read(bodies.SpecifierBody, request.data)
            publishers.require_publishing(name, actor)
            specifier, signature = body["specifier"], body.get("signature", signature)
            content = specifiers.fetch(specifier, digest=body.get("digest", ""))
        if not content:
            raise InvalidRequest("The body is empty; send the bundle's bytes, or JSON with a specifier.")
        release = intake.submit(content, actor=actor, plugin=name, signature=signature[:120], specifier=specifier)
        return submitted(request, release)


class OwnVerb(APIView):
    """What a publisher does about its own release: withdraw, resubmit, yank."""

    scopes: ClassVar[dict[str, str]] = {"POST": "marketplace:publish"}

    @extend_schema(
        operation_id="marketplace_own_verb",
        parameters=[bodies.verb_parameter(PUBLISHER_VERBS)],
        request=bodies.VerbBody,
        responses=shapes.ReviewShape,
    )
    def post(self, request: Request, name: str, version: str, verb: str) -> Response:
        """Do it."""
        if verb not in PUBLISHER_VERBS:
            raise ReleaseNotFound(f"There is no verb {verb[:40]!r} here.")
        release = find_release(request, name, version)
        if not sees_inside(request, release):
            raise ReleaseNotFound(f"{name} has no release {version} of yours.")
        body = read(bodies.VerbBody, request.data)
        return Response(_done(request, release, verb, body))


def _done(request: Request, release: Release, verb: str, body: dict[str, Any]) -> Any:
    curation.act(
        release,
        verb,
        actor=actors.of(request),
        reason=body.get("reason", ""),
        revision=body.get("revision"),
        digest=body.get("digest"),
    )
    found = curation.find(release.pk)
    return shapes.ReviewShape(found, context=review_context(request, found)).data


class Uploads(APIView):
    """Uploads in pieces."""

    scopes: ClassVar[dict[str, str]] = {"POST": "marketplace:publish"}

    @extend_schema(
        operation_id="marketplace_upload_begin", request=bodies.UploadBody, responses={201: shapes.UploadShape}
    )
    def post(self, request: Request) -> Response:
        """Announce a bundle; the same one again answers the upload that is open."""
        body = read(bodies.UploadBody, request.data)
        upload = uploads.begin(
            body["plugin"],
            publisher=body["publisher"],
            size=body["size"],
            digest=body["digest"],
            actor=actors.of(request),
        )
        location = reverse("marketplace-upload", args=[upload.pk], request=request)
        return Response(shapes.UploadShape(upload).data, status=status.HTTP_201_CREATED, headers={"Location": location})


class Upload(APIView):
    """One upload."""

    scopes: ClassVar[dict[str, str]] = {"GET": "marketplace:publish", "PATCH": "marketplace:publish"}
    parser_classes = _BYTES

    @extend_schema(operation_id="marketplace_upload", responses=shapes.UploadShape)
    def get(self, request: Request, upload_id: str) -> Response:
        """How far it came."""
        return Response(shapes.UploadShape(uploads.find(upload_id, actor=actors.of(request))).data)

    @extend_schema(
        operation_id="marketplace_upload_append",
        parameters=[_OFFSET],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses=shapes.UploadShape,
    )
    def patch(self, request: Request, upload_id: str) -> Response:
        """Add a piece at ``Upload-Offset``."""
        upload = uploads.find(upload_id, actor=actors.of(request))
        offset = request.headers.get("Upload-Offset", "")
        if not offset.isascii() or not offset.isdigit() or len(offset) > 10:
            raise InvalidRequest("The Upload-Offset header says at which byte the piece begins.")
        content = bodies.raw(request)
        if content is None:
            raise InvalidRequest("Send the piece as application/octet-stream.")
        row = uploads.append(upload, offset=int(offset), content=content)
        return Response(shapes.UploadShape(row).data, headers={"Upload-Offset": str(row.received)})


class UploadFinish(APIView):
    """The end of an upload."""

    scopes: ClassVar[dict[str, str]] = {"POST": "marketplace:publish"}

    @extend_schema(
        operation_id="marketplace_upload_finish", request=bodies.FinishBody, responses={201: shapes.ReviewShape}
    )
    def post(self, request: Request, upload_id: str) -> Response:
        """Submit what was uploaded."""
        actor = actors.of(request)
        body = read(bodies.FinishBody, request.data)
        release = uploads.finish(uploads.find(upload_id, actor=actor), actor=actor, signature=body.get("signature", ""))
        return submitted(request, release)
