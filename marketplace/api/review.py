"""Curation over HTTP: the queue, and every verb."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace import actors, curation, plugins
from marketplace.api import bodies, shapes
from marketplace.api.catalogue import review_context
from marketplace.errors import ReleaseNotFound
from marketplace.models import Release as ReleaseRow
from marketplace.states import VERBS
from zelavis.api.camel import read
from zelavis.errors import InvalidRequest

_PAGE = 50
#: The verbs of curators; what publishers do has routes of its own.
CURATOR_VERBS = tuple(name for name, verb in VERBS.items() if verb.permission)


class Queue(APIView):
    """What waits."""

    scopes: ClassVar[dict[str, str]] = {"GET": "marketplace:review"}

    @extend_schema(
        operation_id="marketplace_queue",
        parameters=[OpenApiParameter("after", OpenApiTypes.STR, description="Id of the last release seen.")],
        responses=shapes.QueuePage,
    )
    def get(self, request: Request) -> Response:
        """Oldest first, 50 at a time."""
        actors.of(request).require("marketplace.view_release")
        waiting = ReleaseRow.objects.all()
        after = request.query_params.get("after", "")
        if after:
            last = ReleaseRow.objects.filter(pk=after[:40]).first()
            if last is None or "\0" in after:
                raise InvalidRequest("There is no release of this id.")
            from django.db.models import Q

            waiting = waiting.filter(
                Q(submitted_at__gt=last.submitted_at) | Q(submitted_at=last.submitted_at, pk__gt=last.pk)
            )
        keys = [key for key, _ in waiting.queue()[: _PAGE + 1]]
        rows = list(
            ReleaseRow.objects.filter(pk__in=keys).select_related("plugin", "publisher").order_by("submitted_at", "pk")
        )
        following = None
        if len(rows) > _PAGE:
            rows = rows[:_PAGE]
            following = request.build_absolute_uri(f"{request.path}?after={rows[-1].pk}")
        return Response(shapes.QueuePage({"data": rows, "next": following}).data)


class Review(APIView):
    """One release as a curator sees it."""

    scopes: ClassVar[dict[str, str]] = {"GET": "marketplace:review"}

    @extend_schema(operation_id="marketplace_review", responses=shapes.ReviewShape)
    def get(self, request: Request, release_id: str) -> Response:
        """Everything about it, and the verbs that the caller may do now."""
        actors.of(request).require("marketplace.view_release")
        return Response(_shape(request, find(release_id)))


class ReviewVerb(APIView):
    """A verb of curation."""

    scopes: ClassVar[dict[str, str]] = {"POST": "marketplace:review"}

    @extend_schema(
        operation_id="marketplace_review_verb",
        parameters=[bodies.verb_parameter(CURATOR_VERBS)],
        request=bodies.VerbBody,
        responses=shapes.ReviewShape,
    )
    def post(self, request: Request, release_id: str, verb: str) -> Response:
        """Do it. ``approve`` needs the digest that was read; most need a reason."""
        if verb not in CURATOR_VERBS:
            raise ReleaseNotFound(f"There is no verb {verb[:40]!r}. Verbs: {', '.join(CURATOR_VERBS)}.")
        release = find(release_id)
        body = read(bodies.ApproveBody if verb == "approve" else bodies.VerbBody, request.data)
        curation.act(
            release,
            verb,
            actor=actors.of(request),
            reason=body.get("reason", ""),
            revision=body.get("revision"),
            digest=body.get("digest"),
        )
        return Response(_shape(request, curation.find(release.pk)))


class PluginVerb(APIView):
    """A deed about a whole plugin."""

    scopes: ClassVar[dict[str, str]] = {"POST": "marketplace:review"}

    @extend_schema(
        operation_id="marketplace_plugin_verb",
        parameters=[bodies.verb_parameter(plugins.VERBS)],
        request=bodies.PluginVerbBody,
        responses=shapes.Accepted,
    )
    def post(self, request: Request, name: str, verb: str) -> Response:
        """Delist, relist, take down, deprecate, mark, transfer."""
        body = read(bodies.PluginVerbBody, request.data)
        plugins.act(
            plugins.get(name), verb, actor=actors.of(request), reason=body["reason"], value=body.get("value", "")
        )
        return Response(shapes.Accepted({"ok": True}).data)


def find(release_id: str) -> ReleaseRow:
    """A release by its id.

    Raises:
        ReleaseNotFound: there is none.
    """
    if "\0" in release_id or len(release_id) > 40:
        raise ReleaseNotFound
    return curation.find(release_id)


def _shape(request: Request, release: ReleaseRow) -> Any:
    return shapes.ReviewShape(release, context=review_context(request, release)).data
