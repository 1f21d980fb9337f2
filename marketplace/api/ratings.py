"""Installs and ratings."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace import actors, moderation, popularity
from marketplace.api import bodies, shapes
from marketplace.api.catalogue import is_curator, public_plugin
from marketplace.errors import ReleaseNotFound
from marketplace.models import Rating, Release
from zelavis.api.camel import read
from zelavis.api.permissions import PUBLIC


class Ratings(APIView):
    """What sites think of a plugin."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC, "POST": "plugins:write"}

    @extend_schema(operation_id="marketplace_ratings", responses=shapes.RatingPage)
    def get(self, request: Request, name: str) -> Response:
        """The newest 100; for curators with those that are hidden."""
        rows = Rating.objects.filter(plugin=public_plugin(name))
        if not is_curator(actors.of(request)):
            rows = rows.filter(hidden=False)
        return Response(shapes.RatingPage({"data": list(rows[:100])}).data)

    @extend_schema(operation_id="marketplace_rate", request=bodies.RatingBody, responses={201: shapes.RatingShape})
    def post(self, request: Request, name: str) -> Response:
        """Rate, or change one's rating. Only from a site that has installed it."""
        plugin, body = public_plugin(name), read(bodies.RatingBody, request.data)
        rating = popularity.rate(plugin, stars=body["stars"], text=body.get("text", ""), actor=actors.of(request))
        return Response(shapes.RatingShape(rating).data, status=status.HTTP_201_CREATED)


class RatingVerb(APIView):
    """A deed about a rating."""

    scopes: ClassVar[dict[str, str]] = {"POST": "marketplace:review"}

    @extend_schema(
        operation_id="marketplace_rating_verb",
        parameters=[bodies.verb_parameter(moderation.VERBS)],
        request=bodies.RatingVerbBody,
        responses=shapes.RatingShape,
    )
    def post(self, request: Request, rating_id: int, verb: str) -> Response:
        """Hide it, or show it again."""
        body = read(bodies.RatingVerbBody, request.data)
        done = moderation.act(moderation.find(rating_id), verb, actor=actors.of(request), reason=body["reason"])
        return Response(shapes.RatingShape(done).data)


class Installs(APIView):
    """Sites that have installed a plugin."""

    scopes: ClassVar[dict[str, str]] = {"POST": "plugins:write"}

    @extend_schema(operation_id="marketplace_install", request=bodies.InstallBody, responses={201: shapes.Accepted})
    def post(self, request: Request, name: str) -> Response:
        """Tell of an install. A token counts once, however often it tells."""
        plugin, body = public_plugin(name), read(bodies.InstallBody, request.data)
        release = Release.objects.public().filter(plugin=plugin, version=body["version"]).first()
        if release is None:
            raise ReleaseNotFound(f"{name} has no release {body['version'][:64]!r}.")
        popularity.record_install(release, actor=actors.of(request))
        return Response(shapes.Accepted({"ok": True}).data, status=status.HTTP_201_CREATED)
