"""Publishers over HTTP: people, tokens, keys, transfers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace import actors, keys, plugins, publishers, transfers
from marketplace.api import bodies, shapes
from marketplace.errors import PluginNotFound, PublisherNotFound
from marketplace.models import Plugin, Publisher
from zelavis.api.camel import read
from zelavis.api.permissions import PUBLIC
from zelavis.errors import NotFound

_PUBLISH = "marketplace:publish"


def _inside(publisher: Publisher, actor: actors.Actor) -> bool:
    publishes = bool(actor.scopes & {"*", _PUBLISH})
    return (publishes and bool(publishers.role(publisher, actor))) or (
        bool(actor.scopes & {"*", "marketplace:review"}) and actor.may("marketplace.view_publisher")
    )


def _shape(request: Request, publisher: Publisher) -> Any:
    return shapes.PublisherShape(publisher, context={"inside": _inside(publisher, actors.of(request))}).data


def _user(username: str) -> Any:
    user = get_user_model().objects.filter(username=username).first()
    if user is None or "\0" in username:
        raise NotFound(f"There is no user {username[:60]!r}.")
    return user


class Publishers(APIView):
    """One's own publishers."""

    scopes: ClassVar[dict[str, str]] = {"GET": _PUBLISH, "POST": _PUBLISH}

    @extend_schema(operation_id="marketplace_publishers", responses=shapes.PublisherPage)
    def get(self, request: Request) -> Response:
        """Those that the caller is of."""
        actor = actors.of(request)
        rows = Publisher.objects.filter(memberships__user=actor.user) if actor.user else Publisher.objects.none()
        return Response(shapes.PublisherPage({"data": list(rows)}).data)

    @extend_schema(
        operation_id="marketplace_publisher_create",
        request=bodies.PublisherBody,
        responses={201: shapes.PublisherShape},
    )
    def post(self, request: Request) -> Response:
        """Found one; whoever does is its first owner."""
        body = read(bodies.PublisherBody, request.data)
        made = publishers.create(
            body["slug"], name=body["name"], website=body.get("website", ""), actor=actors.of(request)
        )
        return Response(_shape(request, made), status=status.HTTP_201_CREATED)


class PublisherDetail(APIView):
    """One publisher."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC}

    @extend_schema(operation_id="marketplace_publisher", responses=shapes.PublisherShape)
    def get(self, request: Request, slug: str) -> Response:
        """Who it is; people and tokens for its own people and curators only."""
        return Response(_shape(request, publishers.get(slug)))


class PublisherState(APIView):
    """What curators say of a publisher."""

    scopes: ClassVar[dict[str, str]] = {"POST": "marketplace:review"}

    @extend_schema(
        operation_id="marketplace_publisher_state", request=bodies.PublisherStateBody, responses=shapes.PublisherShape
    )
    def post(self, request: Request, slug: str) -> Response:
        """Suspend, restore, verify."""
        body = read(bodies.PublisherStateBody, request.data)
        publisher = publishers.get(slug)
        publishers.set_state(
            publisher,
            state=body.get("state"),
            verified=body.get("verified"),
            actor=actors.of(request),
            reason=body["reason"],
        )
        return Response(_shape(request, publishers.get(slug)))


class Members(APIView):
    """People of a publisher."""

    scopes: ClassVar[dict[str, str]] = {"POST": _PUBLISH}

    @extend_schema(operation_id="marketplace_member_add", request=bodies.MemberBody, responses=shapes.PublisherShape)
    def post(self, request: Request, slug: str) -> Response:
        """Add somebody, or change what they may do. Owners only."""
        actor, publisher = actors.of(request), publishers.get(slug)
        publishers.require_member(publisher, actor, owner=True)
        body = read(bodies.MemberBody, request.data)
        publishers.add_member(publisher, _user(body["username"]), role=body["role"], actor=actor)
        return Response(_shape(request, publisher))


class Member(APIView):
    """One of them."""

    scopes: ClassVar[dict[str, str]] = {"DELETE": _PUBLISH}

    @extend_schema(operation_id="marketplace_member_remove", request=None, responses=shapes.PublisherShape)
    def delete(self, request: Request, slug: str, username: str) -> Response:
        """Take somebody off, or leave. The last owner stays."""
        actor, publisher = actors.of(request), publishers.get(slug)
        publishers.require_member(publisher, actor)
        publishers.remove_member(publisher, _user(username), actor=actor)
        return Response(_shape(request, publisher))


class Tokens(APIView):
    """Tokens of a publisher."""

    scopes: ClassVar[dict[str, str]] = {"POST": _PUBLISH}

    @extend_schema(operation_id="marketplace_token_make", request=bodies.TokenBody, responses={201: shapes.NewToken})
    def post(self, request: Request, slug: str) -> Response:
        """Make one, for the publisher or for one plugin. Its secret is shown this once. Owners only."""
        body = read(bodies.TokenBody, request.data)
        publisher, plugin = publishers.get(slug), None
        if body.get("plugin"):
            plugin = Plugin.objects.filter(name=body["plugin"], publisher=publisher).first()
            if plugin is None:
                raise PluginNotFound(f"{slug} has no plugin {body['plugin'][:64]!r}.")
        token, secret = publishers.make_token(
            publisher, name=body["name"], days=body["days"], plugin=plugin, actor=actors.of(request)
        )
        data = {"token": secret, "prefix": token.prefix, "expires_at": token.expires_at}
        return Response(shapes.NewToken(data).data, status=status.HTTP_201_CREATED)


class Token(APIView):
    """One of them."""

    scopes: ClassVar[dict[str, str]] = {"DELETE": _PUBLISH}

    @extend_schema(operation_id="marketplace_token_revoke", request=None, responses=shapes.Accepted)
    def delete(self, request: Request, slug: str, prefix: str) -> Response:
        """End it at once. Owners only; a token of another publisher is not found."""
        actor, publisher = actors.of(request), publishers.get(slug)
        publishers.require_member(publisher, actor, owner=True)
        if not publishers.revoke_tokens(publisher, actor=actor, prefix=prefix or "-"):
            raise PublisherNotFound(f"{slug} has no live token {prefix[:8]!r}.")
        return Response(shapes.Accepted({"ok": True}).data)


class Keys(APIView):
    """Signing keys of a publisher."""

    scopes: ClassVar[dict[str, str]] = {"POST": _PUBLISH}

    @extend_schema(operation_id="marketplace_key_add", request=bodies.KeyBody, responses={201: shapes.PublisherShape})
    def post(self, request: Request, slug: str) -> Response:
        """Add one. Owners only."""
        publisher = publishers.get(slug)
        keys.add(publisher, read(bodies.KeyBody, request.data)["public_key"], actor=actors.of(request))
        return Response(_shape(request, publisher), status=status.HTTP_201_CREATED)


class Key(APIView):
    """One of them."""

    scopes: ClassVar[dict[str, str]] = {"DELETE": _PUBLISH}

    @extend_schema(operation_id="marketplace_key_revoke", request=None, responses=shapes.PublisherShape)
    def delete(self, request: Request, slug: str, key_id: str) -> Response:
        """Revoke it: nothing that it signs from now on is taken. Owners only."""
        publisher = publishers.get(slug)
        keys.revoke(publisher, key_id, actor=actors.of(request))
        return Response(_shape(request, publisher))


class TransferView(APIView):
    """A plugin offered to another publisher."""

    scopes: ClassVar[dict[str, str]] = {"POST": _PUBLISH, "DELETE": _PUBLISH}

    @extend_schema(operation_id="marketplace_transfer_offer", request=bodies.TransferBody, responses=shapes.Accepted)
    def post(self, request: Request, name: str) -> Response:
        """Offer it. Owners only."""
        plugin, actor = plugins.get(name), actors.of(request)
        publishers.require_member(plugin.publisher, actor, owner=True)
        body = read(bodies.TransferBody, request.data)
        transfers.offer(plugin, publishers.get(body["publisher"]), actor=actor, reason=body["reason"])
        return Response(shapes.Accepted({"ok": True}).data)

    @extend_schema(operation_id="marketplace_transfer_withdraw", request=None, responses=shapes.Accepted)
    def delete(self, request: Request, name: str) -> Response:
        """End the offer. Owners of either side."""
        transfers.withdraw(plugins.get(name), actor=actors.of(request))
        return Response(shapes.Accepted({"ok": True}).data)


class TransferAccept(APIView):
    """Taking an offered plugin over."""

    scopes: ClassVar[dict[str, str]] = {"POST": _PUBLISH}

    @extend_schema(operation_id="marketplace_transfer_accept", request=None, responses=shapes.Accepted)
    def post(self, request: Request, name: str) -> Response:
        """Owners of the publisher it was offered to. No site updates by itself until it consents to the new owner."""
        transfers.accept(plugins.get(name), actor=actors.of(request))
        return Response(shapes.Accepted({"ok": True}).data)
