"""The catalogue for everybody: search, plugins, releases, bytes."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace import actors, catalogue, curation, manifest, popularity, publishers, releases
from marketplace.api import shapes
from marketplace.audit import run
from marketplace.errors import PluginNotFound, ReleaseNotFound
from marketplace.models import Plugin as PluginRow
from marketplace.models import Release as ReleaseRow
from zelavis.api.permissions import PUBLIC
from zelavis.errors import InvalidRequest

_TEXT_PARAMETERS = ("q", "capability", "without", "keyword", "publisher", "license", "kind", "source", "sort", "cursor")
_PARAMETERS = [
    *(OpenApiParameter(name, OpenApiTypes.STR) for name in _TEXT_PARAMETERS),
    OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 24}),
    OpenApiParameter("facets", OpenApiTypes.BOOL),
]


def public_plugin(name: str) -> PluginRow:
    """A plugin that everybody may see.

    Raises:
        PluginNotFound: none of that name, or not shown; the answer does not say which.
    """
    plugin = PluginRow.objects.public().select_related("publisher", "latest").filter(name=name).first()
    if plugin is None:
        raise PluginNotFound(f"The marketplace has no plugin {name[:64]!r}.")
    return plugin


def find_release(request: Request, name: str, version: str) -> ReleaseRow:
    """A release that the caller may see: public, of their publisher, or any for a curator.

    Raises:
        ReleaseNotFound: there is none that they may see.
    """
    found = ReleaseRow.objects.select_related("plugin", "publisher", "signed_by").filter(
        plugin__name=name, version=version
    )
    release = found.first()
    if release is None or not (releases.downloadable(release) or sees_inside(request, release)):
        raise ReleaseNotFound(f"{name[:64]} has no release {version[:64]!r}.")
    return release


def sees_inside(request: Request, release: ReleaseRow) -> bool:
    """Whether the caller is of the publisher or a curator."""
    actor = actors.of(request)
    if not actor.scopes:
        return False
    if is_curator(actor):
        return True
    publishes = bool(actor.scopes & {"*", "marketplace:publish"})
    current = release.plugin.publisher
    return publishes and bool(publishers.role(current, actor, plugin=release.plugin.name))


def is_curator(actor: actors.Actor) -> bool:
    """Whether the caller reviews."""
    return bool(actor.scopes & {"*", "marketplace:review"}) and actor.may("marketplace.view_release")


def review_context(request: Request, release: ReleaseRow) -> dict[str, Any]:
    """For :class:`shapes.ReviewShape`."""
    from django.utils import timezone

    actor = actors.of(request)
    verbs = curation.possible(release, actor, now=timezone.now())
    return {"curator": is_curator(actor), "verbs": [verb.name for verb in verbs]}


class Plugins(APIView):
    """The catalogue."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC}

    @extend_schema(operation_id="marketplace_plugins", parameters=_PARAMETERS, responses=shapes.PluginPage)
    def get(self, request: Request) -> Response:
        """Search: words by their beginnings; every other parameter narrows."""
        given = request.query_params
        unknown = sorted(set(given) - {*_TEXT_PARAMETERS, "limit", "facets"})
        if unknown:
            raise InvalidRequest(f"There is no parameter {', '.join(unknown)[:100]}.")
        if any("\0" in value or len(value) > 1000 for value in given.values()):
            raise InvalidRequest("A parameter has at most 1,000 characters, and no NUL.")
        facets = given.get("facets", "false").lower()
        if facets not in ("true", "false", "1", "0"):
            raise InvalidRequest("facets is true or false.")
        limit = given.get("limit", "24")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= 100:
            raise InvalidRequest("The limit is a number from 1 to 100.")
        names = ("capability", "without", "keyword", "publisher", "license", "kind", "source", "sort")
        query = catalogue.Query(text=given.get("q", ""), **{name: given.get(name, "") for name in names})
        page = catalogue.search(query, limit=int(limit), cursor=given.get("cursor", ""))
        following = None
        if page.following:
            params = given.copy()
            params["cursor"] = page.following
            following = request.build_absolute_uri(f"{request.path}?{params.urlencode()}")
        shown: Any = shapes.PluginPage({"data": page.plugins, "next": following}).data
        answer = dict(shown)
        if facets in ("1", "true"):
            answer["facets"] = {
                name: [{"value": value, "count": number} for value, number in values]
                for name, values in catalogue.facets().items()
            }
        return Response(answer)


class Plugin(APIView):
    """One plugin."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC}

    @extend_schema(operation_id="marketplace_plugin", responses=shapes.PluginShape)
    def get(self, request: Request, name: str) -> Response:
        """Its listing, README and releases."""
        return Response(shapes.PluginShape(public_plugin(name)).data)


class Release(APIView):
    """One release."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC}

    @extend_schema(operation_id="marketplace_release", responses=shapes.ReviewShape)
    def get(self, request: Request, name: str, version: str) -> Response:
        """What it is; for its publisher and curators also why it stands where it does."""
        release = find_release(request, name, version)
        if sees_inside(request, release):
            return Response(shapes.ReviewShape(release, context=review_context(request, release)).data)
        return Response(shapes.ReleaseShape(release).data)


class Bundle(APIView):
    """The bytes of a release."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC}

    @extend_schema(
        operation_id="marketplace_bundle",
        responses=dict.fromkeys([(200, "application/zip"), (200, "application/gzip")], OpenApiTypes.BINARY),
    )
    def get(self, request: Request, name: str, version: str) -> HttpResponse:
        """The bundle, verified against its digest."""
        release = find_release(request, name, version)
        content = releases.bundle(release)
        if releases.downloadable(release):
            popularity.count_download(
                release, actor=actors.of(request), address=str(request.META.get("REMOTE_ADDR", ""))
            )
        kind = "application/zip" if content[:2] == b"PK" else "application/gzip"
        suffix = "zip" if content[:2] == b"PK" else "tgz"
        return HttpResponse(
            content,
            content_type=kind,
            headers={
                "ETag": f'"{release.digest}"',
                "Digest": f"sha-256={release.digest}",
                "Content-Disposition": f'attachment; filename="{name}-{version}.{suffix}"',
            },
        )


class ManifestSchema(APIView):
    """The JSON Schema of manifests."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC}

    @extend_schema(operation_id="marketplace_manifest_schema", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """Draft 2020-12, with every capability of this server."""
        return Response(manifest.schema(), headers={"Content-Type": "application/schema+json"})


class Rules(APIView):
    """The rules of the audit."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC}

    @extend_schema(operation_id="marketplace_rules", responses=shapes.RulePage)
    def get(self, request: Request) -> Response:
        """Every rule with an example and advice."""
        return Response(shapes.RulePage({"version": run.rules_version(), "data": run.rules()}).data)
